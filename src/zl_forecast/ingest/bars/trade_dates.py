"""Trade dates: the session that opens at 17:00 Chicago belongs to the next day, and what it takes to be complete.

CME Globex opens on Sunday at 17:00 Chicago; that evening is Monday's. The wall clock of Chicago decides, so that a
session has 23 hours in winter and in summer, though its hours in UTC differ.
"""

from collections.abc import Iterable
from datetime import date

import pandas as pd

CHICAGO = "America/Chicago"
HOURS_TO_MIDNIGHT = 7  # from 17:00, the cut-off of a trade date
PRICES = ["open", "high", "low", "close"]
BAR = {  # of parts in the order of their time
    "open": ("open", "first"),
    "high": ("high", "max"),
    "low": ("low", "min"),
    "close": ("close", "last"),
    "volume": ("volume", "sum"),
}


def trade_dates(instants: pd.Series) -> pd.Series:
    """Return the trade date of each instant.

    Parameters
    ----------
    instants : Series of datetime64, UTC
        For a bar the start of its interval.

    Returns
    -------
    Series of datetime64
        Midnight of the trade date, without time zone.

    Examples
    --------
    >>> sunday_evening = pd.to_datetime(pd.Series(["2024-03-10T21:59Z", "2024-03-10T22:00Z"]))
    >>> trade_dates(sunday_evening).dt.day.tolist()
    [10, 11]
    """
    local = instants.dt.tz_convert(CHICAGO).dt.tz_localize(None)
    return (local + pd.Timedelta(hours=HOURS_TO_MIDNIGHT)).dt.normalize()


def session_end(day: date) -> pd.Timestamp:
    """Return the instant at which a trade date ends.

    Parameters
    ----------
    day : date
        A trade date.

    Returns
    -------
    Timestamp
        17:00 Chicago of that day, in UTC.

    Examples
    --------
    >>> session_end(date(2024, 7, 1)).hour, session_end(date(2024, 1, 2)).hour
    (22, 23)
    """
    return (pd.Timestamp(day) + pd.Timedelta(hours=24 - HOURS_TO_MIDNIGHT)).tz_localize(CHICAGO).tz_convert("UTC")


def newest_complete(now: pd.Timestamp) -> pd.Timestamp:
    """Return the newest trade date that has ended.

    Parameters
    ----------
    now : Timestamp
        With a time zone.

    Returns
    -------
    Timestamp
        Midnight of the trade date, without time zone; it may be a day without a session.

    Examples
    --------
    >>> newest_complete(pd.Timestamp("2024-01-02 22:59", tz="UTC")).day
    1
    """
    return trade_dates(pd.Series([now.tz_convert("UTC")])).iloc[0] - pd.Timedelta(days=1)


def complete_dates(
    days: Iterable[pd.Timestamp], spans: Iterable[tuple[pd.Timestamp, pd.Timestamp]], *, in_utc_day: bool = False
) -> set[pd.Timestamp]:
    """Return the trade dates whose whole session lies in the time that the data cover.

    Parameters
    ----------
    days : iterable of Timestamp
        Trade dates, midnight without time zone.
    spans : iterable of (Timestamp, Timestamp)
        Start, and end that no longer belongs to it, of the time that each file covers, in UTC. They may overlap.
    in_utc_day : bool
        True for futures that only trade between 00:00 and 24:00 UTC of their trade date, such as grains.

    Returns
    -------
    set of Timestamp
        A newest session that is still running, and a first one that began before the data, are not complete.

    Examples
    --------
    >>> june = (pd.Timestamp("2019-06-03", tz="UTC"), pd.Timestamp("2019-07-01", tz="UTC"))
    >>> days = [pd.Timestamp("2019-06-28"), pd.Timestamp("2019-07-01")]  # files end on Sunday evening in Chicago
    >>> sorted(day.day for day in complete_dates(days, [june]))
    [28]
    """
    merged: list[list[pd.Timestamp]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])

    def is_complete(day: pd.Timestamp) -> bool:
        opening = day.tz_localize("UTC") if in_utc_day else session_end((day - pd.Timedelta(days=1)).date())
        return any(start <= opening and session_end(day.date()) <= end for start, end in merged)

    return {day for day in days if is_complete(day)}


def to_daily(hours: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Aggregate the bars of shorter intervals to one bar per trade date.

    Parameters
    ----------
    hours : DataFrame
        Columns ts_event (start of the interval, UTC), open, high, low, close, volume and those of `by`.
    by : list of str
        Columns that name what was traded.

    Returns
    -------
    DataFrame
        `by`, as_of_date, open (first), high, low, close (last), volume (sum), and first_event and last_event.
    """
    rows = hours.assign(as_of_date=trade_dates(hours["ts_event"])).sort_values("ts_event", kind="stable")
    return rows.groupby([*by, "as_of_date"], as_index=False, sort=True).agg(
        **BAR,
        first_event=("ts_event", "first"),
        last_event=("ts_event", "last"),
    )


def join_parts(parts: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Join bars of one trade date that lie in two files, such as an evening at the end of a month.

    Parameters
    ----------
    parts : DataFrame
        From `to_daily`, of several files.
    by : list of str
        As for `to_daily`.

    Returns
    -------
    DataFrame
        One row per `by` and trade date, with the columns of `to_daily`.
    """
    if not parts.duplicated([*by, "as_of_date"]).any():
        return parts.sort_values([*by, "as_of_date"], ignore_index=True)
    rows = parts.sort_values("first_event", kind="stable")
    return rows.groupby([*by, "as_of_date"], as_index=False, sort=True).agg(
        **BAR,
        first_event=("first_event", "min"),
        last_event=("last_event", "max"),
    )

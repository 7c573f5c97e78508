"""When a value became public: publication rules, holidays of publishers, and the cut-off at 17:00 Chicago."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from pandas.tseries.holiday import GoodFriday

from zl_forecast.imports import ONE_IMPORT_AT_A_TIME

CHICAGO = ZoneInfo("America/Chicago")
CUT_OFF_HOUR = 17
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
WEDNESDAY = WEEKDAYS.index("Wednesday")
HOLIDAY_YEARS = range(1990, 2046)


def trade_date(instant: datetime) -> date:
    """Return the first day at whose cut-off, 17:00 Chicago, something public at `instant` was public.

    Parameters
    ----------
    instant : datetime
        With a time zone.

    Returns
    -------
    date
        It may be a day without a session; the next session then sees the value first.

    Examples
    --------
    >>> from datetime import UTC
    >>> trade_date(datetime(2024, 8, 23, 19, 30, tzinfo=UTC)).isoformat()  # 14:30 in Chicago
    '2024-08-23'
    >>> trade_date(datetime(2024, 8, 23, 22, 1, tzinfo=UTC)).isoformat()  # a minute after the cut-off
    '2024-08-24'
    """
    local = instant.astimezone(CHICAGO)
    cut_off = local.replace(hour=CUT_OFF_HOUR, minute=0, second=0, microsecond=0)
    return local.date() + timedelta(days=local > cut_off)


def available_by_rule(obs_dates: pd.Series, rule: Mapping, delays: Mapping[date, date] | None = None) -> pd.Series:
    """Return available_on of observations by their publisher's rule.

    Parameters
    ----------
    obs_dates : Series of datetime64
        Dates of the observations.
    rule : mapping
        calendar_days, weekday, business_days and calendar, as in seeds/source_series.csv.
    delays : mapping from date to date, optional
        Later releases that are known, by date of the observation.

    Returns
    -------
    Series of datetime64
        With the index of `obs_dates`; never before the observation.

    Examples
    --------
    >>> rule = {"calendar_days": 0, "weekday": "Friday", "business_days": 3, "calendar": "us_federal"}
    >>> days = pd.Series(pd.to_datetime(["2024-08-20", "2024-07-02"]))  # 4 July 2024 was a Thursday
    >>> available_by_rule(days, rule).dt.strftime("%a %d %b").tolist()
    ['Fri 23 Aug', 'Mon 08 Jul']
    """
    holidays = _holidays(rule["calendar"]) if rule["calendar"] else None
    days = obs_dates.to_numpy().astype("datetime64[D]")
    latest = days + np.timedelta64(int(rule["calendar_days"]), "D")
    if rule["weekday"]:
        mask = [day == rule["weekday"] for day in WEEKDAYS] + [False, False]
        latest = np.busday_offset(latest + np.timedelta64(1, "D"), 0, roll="forward", weekmask=mask)
    if holidays is not None:
        after = np.busday_offset(days, int(rule["business_days"]), roll="backward", holidays=holidays)
        latest = np.busday_offset(np.maximum(latest, after), 0, roll="forward", holidays=holidays)
    released = pd.Series(latest.astype("datetime64[us]"), index=obs_dates.index)
    if delays:
        late = pd.to_datetime(obs_dates.dt.date.map(delays))
        released = released.where(late.isna() | (late < released), late)
    return released.astype("datetime64[us]")


def business_day_after(day: pd.Timestamp, calendar: str) -> pd.Timestamp:
    """Return the next business day of a publisher.

    Parameters
    ----------
    day : Timestamp
        Any day.
    calendar : str
        As in seeds/source_series.csv; empty for Monday to Friday.

    Returns
    -------
    Timestamp
        Later than `day`.

    Examples
    --------
    >>> business_day_after(pd.Timestamp("2024-07-03"), "us_federal").strftime("%a %d %b")
    'Fri 05 Jul'
    """
    holidays = _holidays(calendar) if calendar else np.array([], dtype="datetime64[D]")
    return pd.Timestamp(np.busday_offset(np.datetime64(day, "D") + 1, 0, roll="forward", holidays=holidays))


def business_days(first: pd.Timestamp, last: pd.Timestamp, calendar: str) -> pd.DatetimeIndex:
    """List the business days of a publisher, Good Friday apart: markets are closed, whatever the calendar says.

    Parameters
    ----------
    first, last : Timestamp
        First and last day, both included.
    calendar : str
        As in seeds/source_series.csv; empty for Monday to Friday.

    Returns
    -------
    DatetimeIndex

    Examples
    --------
    >>> business_days(pd.Timestamp("2024-03-28"), pd.Timestamp("2024-04-01"), "us_federal").day.tolist()
    [28, 1]
    """
    days = pd.bdate_range(first, last)
    closed = pd.DatetimeIndex(_holidays(calendar)) if calendar else pd.DatetimeIndex([])
    return days.difference(closed).difference(GoodFriday.dates(first, last))


@cache
def _holidays(calendar: str) -> np.ndarray:
    """Return the days on which a publisher is closed, weekends apart."""
    with ONE_IMPORT_AT_A_TIME:
        import holidays
    closed = {
        "us_federal": lambda: holidays.country_holidays("US", years=HOLIDAY_YEARS),
        "target": lambda: holidays.financial_holidays("ECB", years=HOLIDAY_YEARS),
        "eia": lambda: _without_release(holidays.country_holidays("US", years=HOLIDAY_YEARS)),
    }[calendar]()
    return np.array(sorted(closed), dtype="datetime64[D]")


def _without_release(federal: Iterable[date]) -> set[date]:
    """Return the days on which EIA does not release its weekly data of Wednesday.

    https://www.eia.gov/petroleum/supply/weekly/schedule.php: Thursday if a day from Monday to Wednesday is a holiday.
    Christmas or New Year on a Tuesday or Wednesday: Friday, since in most years the offices are closed for another day.
    """
    closed = set(federal)
    for day in federal:
        if day.weekday() <= WEDNESDAY:
            wednesday = day + timedelta(days=WEDNESDAY - day.weekday())
            closed.add(wednesday)
            if (day.month, day.day) in ((12, 25), (1, 1)) and day.weekday() > 0:
                closed.add(wednesday + timedelta(days=1))
    return closed

"""When a value became public: publication rules, holidays of publishers, and the cut-off at 17:00 Chicago."""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from zl_forecast.imports import ONE_IMPORT_AT_A_TIME

CHICAGO = ZoneInfo("America/Chicago")
CUT_OFF_HOUR = 17
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
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
        latest = np.maximum(latest, np.busday_offset(days + np.timedelta64(1, "D"), 0, roll="forward", weekmask=mask))
    if holidays is not None:
        after = np.busday_offset(days, int(rule["business_days"]), roll="backward", holidays=holidays)
        latest = np.busday_offset(np.maximum(latest, after), 0, roll="forward", holidays=holidays)
    released = pd.Series(latest.astype("datetime64[us]"), index=obs_dates.index)
    if delays:
        late = pd.to_datetime(obs_dates.dt.date.map(delays))
        released = released.where(late.isna() | (late < released), late)
    return released.astype("datetime64[us]")


@cache
def _holidays(calendar: str) -> np.ndarray:
    """Return the days on which a publisher is closed, weekends apart."""
    with ONE_IMPORT_AT_A_TIME:
        import holidays
    closed = {
        "us_federal": lambda: holidays.country_holidays("US", years=HOLIDAY_YEARS),
        "target": lambda: holidays.financial_holidays("ECB", years=HOLIDAY_YEARS),
    }[calendar]()
    return np.array(sorted(closed), dtype="datetime64[D]")

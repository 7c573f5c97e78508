"""Exchange calendars, from pandas_market_calendars."""

from collections.abc import Iterable

import pandas as pd

from zl_forecast.imports import ONE_IMPORT_AT_A_TIME
from zl_forecast.paths import seed
from zl_forecast.store import cached_table, fingerprint

FIRST, LAST = "1960-01-01", "2045-12-31"
CLOSED_ON_JUNETEENTH = {"CMEGlobex_Grains", "CMEGlobex_Lean_Hog"}  # since 2022; missing in the library


def exchange_sessions(calendars: Iterable[str], start: str = FIRST, end: str = LAST) -> pd.DataFrame:
    """List the sessions of exchange calendars, without holidays.

    Parameters
    ----------
    calendars : iterable of str
        Names in pandas_market_calendars.
    start, end : str
        First and last date, YYYY-MM-DD.

    Returns
    -------
    DataFrame of shape (n_sessions, 2)
        Columns calendar and session_date; ascending within a calendar.

    Examples
    --------
    >>> exchange_sessions(["CMEGlobex_Grains"], "2024-07-03", "2024-07-05")["session_date"].dt.day.tolist()
    [3, 5]
    """
    with ONE_IMPORT_AT_A_TIME:  # imported here because it takes 0.8 s
        from pandas_market_calendars import get_calendar
        from pandas_market_calendars.holidays.us import USJuneteenthAfter2022
    days = {name: get_calendar(name).valid_days(start, end).tz_localize(None).as_unit("us") for name in calendars}
    juneteenth = USJuneteenthAfter2022.dates(start, end)
    days |= {name: days[name][~days[name].isin(juneteenth)] for name in CLOSED_ON_JUNETEENTH & days.keys()}
    return pd.concat(
        [pd.DataFrame({"calendar": name, "session_date": dates}) for name, dates in days.items()], ignore_index=True
    )


def kept_calendars() -> pd.DataFrame:
    """Return the sessions of all calendars of seeds/instruments.csv, cached per version of the library.

    The first call takes 3 s.

    Returns
    -------
    DataFrame of shape (n_sessions, 2)
        As from `exchange_sessions`, 1960 to 2045.
    """
    calendars = sorted(set(pd.read_csv(seed("instruments"))["calendar"]))
    versions = fingerprint.library_versions(__name__)
    key = fingerprint.combine(calendars, fingerprint.of_code(__name__), versions)
    return cached_table(key, lambda: exchange_sessions(calendars), versions)


def kept_sessions() -> pd.DataFrame:
    """Return the sessions of ZL's exchange from 2000 on, past and future.

    Returns
    -------
    DataFrame of shape (n_sessions, 1)
        Column session_date, ascending.
    """
    instruments = pd.read_csv(seed("instruments"), index_col="symbol")
    sessions = kept_calendars()
    own = sessions[
        (sessions["calendar"] == instruments.at["ZL", "calendar"]) & (sessions["session_date"] >= "2000-01-01")
    ]
    return own[["session_date"]].reset_index(drop=True)

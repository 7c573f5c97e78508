"""The exchange calendar, from pandas_market_calendars."""

from collections.abc import Iterable

import pandas as pd

from zl_forecast.imports import ONE_IMPORT_AT_A_TIME
from zl_forecast.paths import seed
from zl_forecast.store import cached_table, fingerprint

FIRST, LAST = "1960-01-01", "2045-12-31"
CLOSED_ON_JUNETEENTH = {"CMEGlobex_Grains", "CMEGlobex_Lean_Hog"}  # since 2022; the library does not know yet


def exchange_sessions(calendars: Iterable[str], start: str = FIRST, end: str = LAST) -> pd.DataFrame:
    """Sessions of exchange calendars, holidays left out.

    Parameters
    ----------
    calendars : iterable of str
        Names in pandas_market_calendars.

    Returns
    -------
    DataFrame of shape (n_sessions, 2)
        Columns calendar, session_date; ascending within a calendar.
    """
    with ONE_IMPORT_AT_A_TIME:  # 0.8 s: not at the start of every build
        from pandas_market_calendars import get_calendar
        from pandas_market_calendars.holidays.us import USJuneteenthAfter2022
    days = {name: get_calendar(name).valid_days(start, end).tz_localize(None).as_unit("us") for name in calendars}
    juneteenth = USJuneteenthAfter2022.dates(start, end)
    days |= {name: days[name][~days[name].isin(juneteenth)] for name in CLOSED_ON_JUNETEENTH & days.keys()}
    return pd.concat(
        [pd.DataFrame({"calendar": name, "session_date": dates}) for name, dates in days.items()], ignore_index=True
    )


def kept_calendars() -> pd.DataFrame:
    """`exchange_sessions` of all calendars of seeds/instruments.csv (3 s), cached for this version of the library."""
    calendars = sorted(set(pd.read_csv(seed("instruments"))["calendar"]))
    versions = fingerprint.library_versions(__name__)
    key = fingerprint.combine(calendars, fingerprint.of_code(__name__), versions)
    return cached_table(key, lambda: exchange_sessions(calendars), versions)


def kept_sessions() -> pd.DataFrame:
    """Sessions of ZL's exchange from 2000 on, past and to come: column session_date, ascending."""
    instruments = pd.read_csv(seed("instruments"), index_col="symbol")
    sessions = kept_calendars()
    own = sessions[
        (sessions["calendar"] == instruments.at["ZL", "calendar"]) & (sessions["session_date"] >= "2000-01-01")
    ]
    return own[["session_date"]].reset_index(drop=True)

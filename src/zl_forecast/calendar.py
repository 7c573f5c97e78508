"""The exchange calendar, from pandas_market_calendars."""

from importlib.metadata import version

import pandas as pd

from zl_forecast import artifacts, fingerprint
from zl_forecast.late_import import late_import

EXCHANGE_CALENDAR = "CMEGlobex_Grains"  # the one whose sessions hold every real ZL bar of 2010-2021; see DECISIONS.md


def exchange_sessions(start: str = "2000-01-01", end: str = "2045-12-31") -> pd.DataFrame:
    """Sessions of CBOT grains and oilseeds, holidays left out.

    Returns
    -------
    DataFrame of shape (n_sessions, 1)
        Column session_date, ascending.
    """
    pandas_market_calendars = late_import("pandas_market_calendars")  # 0.6 s: not at the start of every build
    days = pandas_market_calendars.get_calendar(EXCHANGE_CALENDAR).valid_days(start, end)
    return pd.DataFrame({"session_date": days.tz_localize(None).as_unit("us")})


def kept_sessions() -> pd.DataFrame:
    """`exchange_sessions`, which take a second, as they were kept for this version of the library."""
    name = fingerprint.combine(EXCHANGE_CALENDAR, fingerprint.of_code(__name__), version("pandas-market-calendars"))
    sessions = artifacts.remembered(name)
    if sessions is None:
        sessions = exchange_sessions()
        artifacts.remember(name, sessions)
    return sessions

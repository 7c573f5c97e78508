"""Exchange calendars, from pandas_market_calendars."""

from collections.abc import Iterable
from functools import cache

import numpy as np
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
    days = np.arange(np.datetime64(start, "D"), np.datetime64(end, "D") + 1)
    sessions = {name: days[np.is_busday(days, busdaycal=_open_days(name))] for name in calendars}
    return pd.concat(
        [pd.DataFrame({"calendar": name, "session_date": own.astype("M8[us]")}) for name, own in sessions.items()],
        ignore_index=True,
    )


@cache
def _open_days(calendar: str) -> np.busdaycalendar:
    """Return weekdays and holidays of an exchange calendar; the library computes them until 2200, in 50 ms."""
    with ONE_IMPORT_AT_A_TIME:  # imported here because it takes 0.8 s
        from pandas_market_calendars import get_calendar
        from pandas_market_calendars.holidays.us import USJuneteenthAfter2022
    known = get_calendar(calendar).holidays().calendar
    if calendar not in CLOSED_ON_JUNETEENTH:
        return known
    juneteenth = USJuneteenthAfter2022.dates("2022-01-01", "2200-12-31").to_numpy().astype("M8[D]")
    return np.busdaycalendar(known.weekmask, np.concatenate([known.holidays, juneteenth]))


def kept_calendars() -> pd.DataFrame:
    """Return the sessions of all calendars of seeds/instruments.csv, cached per version of the library.

    The first call takes half a second.

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

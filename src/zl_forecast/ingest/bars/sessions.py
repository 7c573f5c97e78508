"""Sessions of each future's exchange, and bars on days without one."""

from functools import cache

import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.paths import seed

FIRST, LAST = "1959-01-01", "2045-12-31"  # CBOT's soybean oil began in 1950; vendors' files begin in 1959


@cache
def instruments() -> pd.DataFrame:
    """Return seeds/instruments.csv.

    Returns
    -------
    DataFrame
        Indexed by symbol.
    """
    return pd.read_csv(seed("instruments"), index_col="symbol")


@cache
def _sessions(calendar: str) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(exchange_sessions([calendar], FIRST, LAST)["session_date"])


def sessions_of(symbol: str, first: pd.Timestamp, last: pd.Timestamp) -> pd.DatetimeIndex:
    """Return the sessions of a symbol's exchange.

    Parameters
    ----------
    symbol : str
        As in seeds/instruments.csv.
    first, last : Timestamp
        Both may be sessions.

    Returns
    -------
    DatetimeIndex
        Ascending.

    Examples
    --------
    >>> sessions_of("ZL", pd.Timestamp("2024-03-28"), pd.Timestamp("2024-04-01")).day.tolist()  # Good Friday
    [28, 1]
    """
    sessions = _sessions(instruments().at[symbol, "calendar"])
    return sessions[(sessions >= first) & (sessions <= last)]


def split_ghosts(bars: pd.DataFrame, symbol: str) -> tuple[pd.DataFrame, list[pd.Timestamp]]:
    """Drop bars that a vendor invents on days without a session: one price, no volume.

    Parameters
    ----------
    bars : DataFrame
        Columns as_of_date, open, high, low, close and volume, of one symbol or contract.
    symbol : str
        As in seeds/instruments.csv.

    Returns
    -------
    (DataFrame, list of Timestamp)
        The other bars, and the days of the dropped ones. Bars on such days that do have a range or volume stay: the landing
        check then finds that the dates follow another convention.
    """
    if bars.empty:
        return bars, []
    sessions = sessions_of(symbol, bars["as_of_date"].min(), bars["as_of_date"].max())
    prices = bars[["open", "high", "low", "close"]]
    is_flat = prices.max(axis=1) == prices.min(axis=1)
    is_ghost = ~bars["as_of_date"].isin(sessions) & is_flat & (bars["volume"].fillna(0) == 0)
    return bars[~is_ghost], sorted(bars.loc[is_ghost, "as_of_date"].unique())

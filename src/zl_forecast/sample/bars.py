"""Daily bars from simulated closes: open, high, low, volume, contract, ticks, sessions, missing days."""

import zlib

import numpy as np
import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.sample.market import OVERNIGHT_SHARE, SYMBOLS, Path, Streams, ar1, front_deliveries, roll_months


def daily_bars(paths: dict[str, Path], sessions: pd.DatetimeIndex, streams: Streams) -> pd.DataFrame:
    """Build the landing table bars_daily of all symbols.

    Parameters
    ----------
    paths : dict of str to Path
        Simulated closes by symbol, for every key of `SYMBOLS`.
    sessions : DatetimeIndex of shape (n_sessions,)
        ZL's sessions, ascending.
    streams : Streams
        Source of randomness.

    Returns
    -------
    DataFrame
        Columns symbol, as_of_date, open, high, low, close (exchange units, rounded to ticks), volume
        (contracts) and contract_id; sorted by symbol and date. A symbol has no bar when its exchange is
        closed, nor on its missing days.
    """
    is_open = {calendar: _is_open(calendar, sessions) for calendar in {symbol.calendar for symbol in SYMBOLS.values()}}
    frames = [_bars(name, paths[name], sessions, is_open[SYMBOLS[name].calendar], streams) for name in sorted(SYMBOLS)]
    return pd.concat(frames, ignore_index=True)


def _is_open(calendar: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return for each of ZL's sessions whether another exchange has a session too; shape (n_sessions,)."""
    return sessions.isin(exchange_sessions([calendar], sessions[0], sessions[-1])["session_date"])


def _bars(name: str, path: Path, sessions: pd.DatetimeIndex, is_open: np.ndarray, streams: Streams) -> pd.DataFrame:
    n, symbol = len(sessions), SYMBOLS[name]
    opens, highs, lows = _open_high_low(
        path,
        streams(f"{name} open").standard_normal(n),
        streams(f"{name} range").standard_exponential((n, 2)),
    )
    prices = np.exp(np.column_stack([opens, highs, lows, path.log_close]))
    # rounding keeps the order of the four prices, so the bar stays consistent
    prices = to_ticks(prices, symbol.tick)
    bars = pd.DataFrame(prices, columns=["open", "high", "low", "close"])
    bars.insert(0, "symbol", name)
    bars.insert(1, "as_of_date", sessions)
    bars["volume"] = _volume(name, path, sessions, streams)
    bars["contract_id"] = _contract_ids(name, sessions)
    present = streams(f"{name} missing").random(n) >= symbol.missing
    return bars[present & is_open]


def _open_high_low(
    path: Path, normal: np.ndarray, exponential: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw log open, high and low that fit the close and the day's true volatility; arrays of shape (n,).

    Given the day's return, its overnight part is Gaussian. Within the session the log price is a Brownian
    bridge from open to close, whose maximum is distributed as (a + b + sqrt((a - b)^2 + 2 s^2 E)) / 2 with
    E standard exponential (Glasserman 2003, Monte Carlo Methods in Financial Engineering, 6.4). High and
    low are drawn independently.
    """
    returns = np.diff(path.log_close, prepend=path.log_close[0]) - path.step
    before = path.log_close - returns  # price of the new front contract at the previous close
    bridge_sd = path.vol * np.sqrt(OVERNIGHT_SHARE * (1 - OVERNIGHT_SHARE))
    opens = before + OVERNIGHT_SHARE * returns + bridge_sd * normal
    variance = path.vol**2 * (1 - OVERNIGHT_SHARE)
    middle, width = (opens + path.log_close) / 2, opens - path.log_close
    reach = np.sqrt(width[:, None] ** 2 + 2 * variance[:, None] * exponential) / 2
    return opens, middle + reach[:, 0], middle - reach[:, 1]


def _volume(name: str, path: Path, sessions: pd.DatetimeIndex, streams: Streams) -> np.ndarray:
    """Simulate contracts traded: trend, summer season, weekdays and rolls, and more on days of large moves."""
    n, symbol = len(sessions), SYMBOLS[name]
    noise = streams(f"{name} volume").standard_normal((n, 2))
    years = (sessions - pd.Timestamp("2013-01-01")).days.to_numpy() / 365.25
    size = np.abs(np.diff(path.log_close, prepend=path.log_close[0])) / path.vol
    log_volume = (
        np.log(symbol.volume)
        + 0.03 * years
        + 0.10 * np.cos(2 * np.pi * (years - 0.5))
        - 0.08 * np.isin(sessions.dayofweek, [0, 4])
        + 0.25 * (roll_months(name, sessions) > 0)
        + 0.15 * np.minimum(size, 4)
        + ar1(0.9, 0.12 * noise[:, 0])
        + 0.2 * noise[:, 1]
    )
    return np.maximum(np.exp(log_volume).astype("int64"), 1)


def _contract_ids(name: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the front contract on each session: digits for the symbol, then year and month of delivery (YYYYMM)."""
    year, month = np.divmod(front_deliveries(name, sessions), 12)
    prefix = zlib.crc32(name.encode()) % 1_000_000
    return (prefix * 1_000_000 + year * 100 + month + 1).astype("int64")


def to_ticks(prices: np.ndarray, tick: float) -> np.ndarray:
    """Round prices to the exchange's ticks, without floating-point residue.

    Parameters
    ----------
    prices : array of any shape
        Exchange units.
    tick : float
        Smallest price step, in the same unit.

    Returns
    -------
    array
        Shape and unit of `prices`.

    Examples
    --------
    >>> to_ticks(np.array([0.3, 41.237]), 0.01).tolist()
    [0.3, 41.24]
    """
    return np.round(np.round(prices / tick) * tick, 9)

"""From simulated closes to daily bars: open, high, low, volume, contract, ticks, sessions, missing days."""

import zlib

import numpy as np
import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.sample.market import OVERNIGHT_SHARE, SYMBOLS, Path, Streams, ar1, front_deliveries, roll_months


def daily_bars(paths: dict[str, Path], sessions: pd.DatetimeIndex, streams: Streams) -> pd.DataFrame:
    """The landing table bars_daily of all symbols, sorted by symbol and date."""
    is_open = {calendar: _is_open(calendar, sessions) for calendar in {symbol.calendar for symbol in SYMBOLS.values()}}
    frames = [_bars(name, paths[name], sessions, is_open[SYMBOLS[name].calendar], streams) for name in sorted(SYMBOLS)]
    return pd.concat(frames, ignore_index=True)


def _is_open(calendar: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Whether an exchange calendar has a session on each of ZL's sessions; shape (n_sessions,)."""
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
    bars["contract_id"] = contract_ids(name, sessions)
    present = streams(f"{name} missing").random(n) >= symbol.missing
    return bars[present & is_open]


def _open_high_low(
    path: Path, normal: np.ndarray, exponential: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log open, high and low that fit the close and the day's true volatility; arrays of shape (n,).

    The overnight part of a return given the whole is Gaussian; inside the session the log price is a
    Brownian bridge from open to close, whose maximum is distributed as (a + b + sqrt((a - b)^2 + 2 s^2 E))
    / 2 with E standard exponential (Glasserman 2003, Monte Carlo Methods in Financial Engineering, 6.4).
    High and low are drawn independently.
    """
    returns = np.diff(path.log_close, prepend=path.log_close[0]) - path.step
    before = path.log_close - returns  # where the new front contract stood at the previous close
    bridge_sd = path.vol * np.sqrt(OVERNIGHT_SHARE * (1 - OVERNIGHT_SHARE))
    opens = before + OVERNIGHT_SHARE * returns + bridge_sd * normal
    variance = path.vol**2 * (1 - OVERNIGHT_SHARE)
    middle, width = (opens + path.log_close) / 2, opens - path.log_close
    reach = np.sqrt(width[:, None] ** 2 + 2 * variance[:, None] * exponential) / 2
    return opens, middle + reach[:, 0], middle - reach[:, 1]


def _volume(name: str, path: Path, sessions: pd.DatetimeIndex, streams: Streams) -> np.ndarray:
    """Contracts traded: a trend, a summer bulge, weekday and roll effects, more on days of large moves."""
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


def contract_ids(name: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """BIGINT of the front contract: digits for the symbol, then year and month of delivery; shape (n,)."""
    year, month = np.divmod(front_deliveries(name, sessions), 12)
    prefix = zlib.crc32(name.encode()) % 1_000_000
    return (prefix * 1_000_000 + year * 100 + month + 1).astype("int64")


def to_ticks(prices: np.ndarray, tick: float) -> np.ndarray:
    """Prices on the exchange's grid, without float dust."""
    return np.round(np.round(prices / tick) * tick, 9)

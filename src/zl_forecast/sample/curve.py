"""The futures curve of the simulated market: settlements and open interest of each delivery month.

The front contract settles at the bar's close. Each further contract settles above the one before it
by the carry of the day times the months between the two deliveries, halved for every year ahead:
weather and stocks move near spreads more than far ones (Samuelson 1965, Industrial Management Review
6). So the step of the continuous price at a roll is the difference between two settlements of the
previous session.
"""

import numpy as np
import pandas as pd

from zl_forecast.sample.bars import to_ticks
from zl_forecast.sample.market import MONTH_LETTERS, SYMBOLS, Path, Streams, front_deliveries, stationary_ar1

FRONT_INTEREST = {  # typical open contracts of the front, well before its roll
    "ZL": 200_000,
    "ZM": 190_000,
    "ZS": 330_000,
    "ZC": 700_000,
    "CL": 400_000,
    "HO": 110_000,
}
CONTRACTS = 8  # per symbol and session: the front and the next seven deliveries


def daily_curve(
    paths: dict[str, Path], bars: pd.DataFrame, sessions: pd.DatetimeIndex, streams: Streams
) -> pd.DataFrame:
    """Build the landing table curve_daily: one curve per bar of the symbols in `FRONT_INTEREST`.

    A contract leaves the curve when it stops being the front.

    Parameters
    ----------
    paths : dict of str to Path
        Simulated closes and carries by symbol.
    bars : DataFrame
        From `daily_bars`; only symbol and as_of_date are read.
    sessions : DatetimeIndex of shape (n_sessions,)
        ZL's sessions, ascending.
    streams : Streams
        Source of randomness.

    Returns
    -------
    DataFrame
        `CONTRACTS` rows per bar: symbol, as_of_date, contract_month (first day of the delivery month),
        settle (exchange units, rounded to ticks), open_interest (contracts); sorted by symbol, date and
        delivery.
    """
    frames = []
    for name in sorted(FRONT_INTEREST):
        has_bar = sessions.isin(bars.loc[bars["symbol"] == name, "as_of_date"])
        deliveries = _deliveries(name, sessions)
        settle = np.exp(paths[name].log_close[:, None] + _spreads(deliveries, paths[name].carry))
        columns = {
            "contract_month": deliveries.astype("datetime64[M]").astype("datetime64[ns]"),
            "settle": to_ticks(settle, SYMBOLS[name].tick),
            "open_interest": _open_interest(name, deliveries, sessions, streams),
        }
        frame = pd.DataFrame({column: values[has_bar].ravel() for column, values in columns.items()})
        frame.insert(0, "symbol", name)
        frame.insert(1, "as_of_date", sessions[has_bar].repeat(CONTRACTS))
        frames.append(frame)
    return pd.concat(frames, ignore_index=True)


def _deliveries(name: str, sessions: pd.DatetimeIndex) -> np.ndarray:
    """Return the front delivery and those listed after it, in months since 1970; shape (n_sessions, CONTRACTS)."""
    front = front_deliveries(name, sessions)
    listed = [MONTH_LETTERS.index(letter) for letter in SYMBOLS[name].months]
    months = np.arange(front[0], front[-1] + 12 * CONTRACTS)
    months = months[np.isin(months % 12, listed)]
    first = np.searchsorted(months, front)
    return months[first[:, None] + np.arange(CONTRACTS)] - 12 * 1970


def _spreads(deliveries: np.ndarray, carry: np.ndarray) -> np.ndarray:
    """Return the log price of each contract relative to the front; shape of `deliveries`."""
    apart = np.diff(deliveries, axis=1)
    ahead = deliveries[:, :-1] - deliveries[:, :1]
    between = apart * carry[:, None] * 0.5 ** (ahead / 12)
    return np.concatenate([np.zeros((len(carry), 1)), np.cumsum(between, axis=1)], axis=1)


def _open_interest(name: str, deliveries: np.ndarray, sessions: pd.DatetimeIndex, streams: Streams) -> np.ndarray:
    """Simulate open contracts: most in the front until its last two weeks; shape of `deliveries`."""
    roll_on = (deliveries - 1).astype("datetime64[M]").astype("datetime64[D]") + SYMBOLS[name].roll_day - 1
    days_left = (roll_on - sessions.to_numpy().astype("datetime64[D]")[:, None]).astype("float64")
    noise = streams(f"{name} open interest").standard_normal((len(sessions), 2))
    level = stationary_ar1(60, 0.12, noise[:, 0]) + 0.005 * noise[:, 1]
    share = np.exp(level[:, None] - days_left / 70) * (1 - np.exp(-days_left / 12))
    return np.maximum(FRONT_INTEREST[name] * share, 1).astype("int64")

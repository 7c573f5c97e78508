"""Simulated markets with and without a signal for families that read sequences."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import through_autogluon as tournament

from zl_forecast import settings
from zl_forecast.families.lookback import CHANNEL_LAGS, read_sessions

HORIZONS = (1, 5, 20)
RECENT, BEFORE = range(1, 6), range(6, 11)  # sessions ago


@dataclass(frozen=True)
class World:
    """Training rows, and later test rows."""

    train: pd.DataFrame
    test: pd.DataFrame

    @property
    def reference_loss(self) -> pd.Series:
        return tournament.loss(self.test, tournament.reference_forecast(self.train, self.test))


def order_world(market_rows, sessions: int = 1100) -> World:
    """The next return depends only on the order of the values of a white-noise channel.

    Its drift is the mean of the channel 1 to 5 sessions ago minus the mean 6 to 10 sessions ago. The value at the
    origin, which is the mart's feature, has no effect, and summaries without order cannot distinguish the two weeks.
    """
    rng = np.random.default_rng(settings.SEED)
    n = sessions + 700
    features = pd.DataFrame(rng.standard_normal((n, 3)), columns=["planted", "idle_a", "idle_b"])
    signal = sum(features["planted"].shift(lag) for lag in RECENT) - sum(
        features["planted"].shift(lag) for lag in BEFORE
    )
    drift = 1.5 * (signal / np.sqrt(10)).shift(1).fillna(0.0)  # standard deviation 1.5, the noise's is 1
    returns = 0.01 * (drift + rng.standard_normal(n))
    rows = market_rows(returns.to_numpy(), features, tuple(features), HORIZONS)
    return World(*tournament.split(rows, sessions))


def blind_to_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Replace the look-back by each channel's sorted values, mean and standard deviation."""
    sessions = read_sessions(tournament.shown(rows))
    columns = {}
    for n, name in enumerate(sessions.channel_names):
        path = sessions.channels[sessions.session, :, n]
        columns |= {
            f"{name}_rank_{k:02d}": values for k, values in enumerate(np.sort(path, axis=1).T[:: CHANNEL_LAGS // 10])
        }
        columns |= {f"{name}_mean": path.mean(axis=1), f"{name}_deviation": path.std(axis=1)}
    return pd.concat([with_features_only(rows), pd.DataFrame(columns, index=rows.index)], axis=1)


def with_features_only(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows as for a family that reads no look-back."""
    return rows[[*tournament.NOT_SHOWN, "z_return", "horizon_days", "planted", "idle_a", "idle_b"]]


def noise_world(market_rows, seed: int) -> World:
    """Simulate unpredictable returns of changing volatility; features that are random walks invite overfitting."""
    rng = np.random.default_rng(seed)
    n = 1150
    steps = rng.standard_normal((n, 8))
    features = pd.DataFrame(
        np.where(np.arange(8) % 2, steps, steps.cumsum(axis=0)), columns=[f"f{k}" for k in range(8)]
    )
    returns = 0.01 * np.exp(0.3 * np.sin(np.arange(n) / 80)) * rng.standard_normal(n)
    return World(*tournament.split(market_rows(returns, features, ("f0", "f1"), (5, 20, 60, 120)), 700))

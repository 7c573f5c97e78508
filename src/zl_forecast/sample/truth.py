"""The oracle: the true conditional distribution of ZL's return, from the simulation's latent state.

Monte Carlo simulation of the equations in `market`, from the true log volatility, oil-share gap, meal
price, crude momentum and carries at each date. A batch of dates shares its paths' shocks, in antithetic
pairs, so only oil and meal prices are stored per date and path. Each batch draws new shocks, so Monte
Carlo errors average out over dates.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from zl_forecast.errors import ZlForecastError
from zl_forecast.sample.market import (
    CARRY_HALF_LIFE,
    CRUDE_ZL_CORRELATION,
    JUMP_SD,
    JUMPS_PER_SESSION,
    LEVERAGE,
    LOG_OIL_USUAL,
    LOG_VOL_MEAN,
    LOG_VOL_PHI,
    LOG_VOL_SHOCK,
    MEAL_CATCH_UP,
    MEAL_LOADINGS,
    MEAL_REVERSION,
    MEAL_VOL_RATIO,
    MOMENTUM_DECAY,
    SYMBOLS,
    Market,
    correlated,
    crude_push,
    gap_correction,
)

CARRY_PHI = 0.5 ** (1 / CARRY_HALF_LIFE)
DATES_AT_ONCE = 16  # 16 dates x 4,000 paths in float32 stay in the processor's cache


class NoTruth(ZlForecastError):
    """The oracle cannot answer: a date or horizon outside the simulated market, or an odd number of paths."""


def true_quantiles(
    market: Market,
    dates: Sequence | pd.DatetimeIndex,
    horizons: Sequence[int] = (5, 20, 60, 120),
    levels: Sequence[float] = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95),
    paths: int = 4000,
    seed: int = 1,
) -> pd.DataFrame:
    """Return true conditional quantiles of ZL's log return, log(close[t+h] / close[t]) of the front price.

    Roll steps are included.

    Parameters
    ----------
    market : Market
        From `simulate`.
    dates : sequence of dates
        Sessions of the market, each a forecast origin t.
    horizons : sequence of int
        Sessions ahead, at most 200.
    levels : sequence of float
        Quantile levels in (0, 1).
    paths : int
        Even number of Monte Carlo paths. With 4,000 the error of a quantile is about 2 % of the
        distribution's standard deviation.
    seed : int
        Of the Monte Carlo simulation, unrelated to the market's.

    Returns
    -------
    DataFrame of shape (n_dates * n_horizons * n_levels, 4)
        as_of_date, horizon_days, level, log_return_quantile; in the order of the arguments.

    Raises
    ------
    NoTruth
        A date is not a session of the market, a horizon is out of range, or `paths` is odd or below 2.
    """
    dates, horizons = pd.DatetimeIndex(dates), [int(h) for h in horizons]
    at = market.latent.index.get_indexer(dates)
    if (at < 0).any():
        raise NoTruth(
            f"{(at < 0).sum()} of {len(dates)} dates are not sessions of this market, "
            f"first {dates[at < 0][0].date()}. "
            f"Choose from market.latent.index ({market.start} to {market.end})."
        )
    beyond = len(market.rolls) - len(market.latent)
    if not 1 <= min(horizons) <= max(horizons) <= beyond:
        raise NoTruth(f"Horizons {horizons} are not all within 1 to {beyond} sessions.")

    quantiles = np.empty((len(dates), len(horizons), len(levels)), dtype="float32")
    for first in range(0, len(dates), DATES_AT_ONCE):
        block = slice(first, first + DATES_AT_ONCE)
        shocks = _Shocks(max(horizons), paths, np.random.default_rng([seed, first]))
        for step, returns in _returns(market, at[block], shocks):
            if step in horizons:
                quantiles[block, horizons.index(step)] = np.quantile(returns, levels, axis=1).T
    index = pd.MultiIndex.from_product([dates, horizons, levels], names=["as_of_date", "horizon_days", "level"])
    return pd.Series(quantiles.ravel().astype("float64"), index, name="log_return_quantile").reset_index()


class _Shocks:
    """All randomness of the paths; arrays of shape (steps, paths), the second half mirrors the first.

    Attributes
    ----------
    oil, meal : array
        Daily shocks in volatility units, each multiplied by its path's volatility relative to the date's own.
    vol : array
        exp of the path's deviation from the date's expected log volatility.
    momentum : array
        The path's deviation from the date's decayed momentum, used in the step's drift.
    jump : array
        Log returns.
    oil_carry, meal_carry : array
        The path's deviation from the date's decayed carry, used at the step's roll.
    """

    def __init__(self, steps: int, paths: int, rng: np.random.Generator):
        if paths < 2 or paths % 2:
            raise NoTruth(f"paths is {paths}: antithetic pairs need an even number of at least 2.")
        half = rng.standard_normal((7, steps, paths // 2), dtype="float32")
        oil, meal, crude, log_vol, jump, oil_carry, meal_carry = np.concatenate([half, -half], axis=2)
        crude = correlated(crude, {"ZL": CRUDE_ZL_CORRELATION}, {"ZL": oil})
        meal = correlated(meal, MEAL_LOADINGS, {"ZL": oil, "CL": crude})
        log_vol = LOG_VOL_SHOCK * (LEVERAGE * oil + np.sqrt(1 - LEVERAGE**2) * log_vol)
        self.vol = np.exp(_accumulate(LOG_VOL_PHI, log_vol)).astype("float32")
        self.momentum = _accumulate(MOMENTUM_DECAY, np.sqrt(1 - MOMENTUM_DECAY**2) * crude)
        self.oil, self.meal = oil, MEAL_VOL_RATIO * meal
        happens = rng.random((steps, paths // 2), dtype="float32") < JUMPS_PER_SESSION
        self.jump = JUMP_SD * jump * np.concatenate([happens, happens], axis=1)
        news = np.sqrt(1 - CARRY_PHI**2)
        self.oil_carry = _accumulate(CARRY_PHI, SYMBOLS["ZL"].carry * news * oil_carry)
        self.meal_carry = _accumulate(CARRY_PHI, SYMBOLS["ZM"].carry * news * meal_carry)


def _accumulate(phi: float, shocks: np.ndarray) -> np.ndarray:
    """Return what earlier shocks add to an AR(1) at each step, 0 at the first; shape of `shocks`."""
    added = np.zeros_like(shocks)
    for step in range(1, len(shocks)):
        added[step] = np.float32(phi) * added[step - 1] + shocks[step - 1]
    return added


def _returns(market: Market, at: np.ndarray, shocks: _Shocks):
    """Yield (step, cumulated log returns of shape (n_dates, paths)) for each step after positions `at`."""
    state = {name: values.to_numpy()[:, None] for name, values in market.latent.iloc[at].items()}
    rolls = {name: months.to_numpy() for name, months in market.rolls.items()}
    close_gap, push = gap_correction(market.world), crude_push(market.world, market.rolls.index)

    steps, paths = shocks.oil.shape
    oil_start = (state["log_close"] - LOG_OIL_USUAL).astype("float32")
    returns = np.zeros((len(at), paths), dtype="float32")
    meal = np.repeat(oil_start - state["gap"].astype("float32"), paths, axis=1)  # log, over its usual price
    for step in range(steps):
        expected_vol = np.exp(LOG_VOL_MEAN + LOG_VOL_PHI**step * (state["log_vol"] - LOG_VOL_MEAN)).astype("float32")
        momentum = (MOMENTUM_DECAY**step * state["momentum"]).astype("float32") + shocks.momentum[step]
        oil_carry = (CARRY_PHI**step * state["oil_carry"]).astype("float32") + shocks.oil_carry[step]
        meal_carry = (CARRY_PHI**step * state["meal_carry"]).astype("float32") + shocks.meal_carry[step]
        now = at + step + 1
        oil_months, meal_months = (rolls[name][now].astype("float32")[:, None] for name in ("ZL", "ZM"))

        vol = expected_vol * shocks.vol[step]
        trend = push[now].astype("float32")[:, None] * momentum
        gap = oil_start + returns - meal
        returns += vol * (shocks.oil[step] + trend) + shocks.jump[step] + oil_months * oil_carry
        returns -= np.float32(close_gap) * gap
        meal += np.float32(MEAL_CATCH_UP) * gap - np.float32(MEAL_REVERSION) * meal
        meal += vol * (shocks.meal[step] + trend) + meal_months * meal_carry
        yield step + 1, returns

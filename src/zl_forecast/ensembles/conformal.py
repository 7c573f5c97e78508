"""Adaptive conformal: another method's bands, widened or narrowed day by day so that they go on covering what they promise.

A score is how far an outcome lies beyond a quantile, and it is normalised by volatility, since forecasts and outcomes are in units of
the volatility known at the origin. Each pair of levels (5 and 95, 10 and 90, 25 and 75 %) has one factor on its distance from the
median. Whenever an outcome becomes known, the factor grows where it lay outside of the pair and shrinks where it lay inside, by steps
that balance at the nominal coverage: so the long-run miss rate cannot stay away from nominal, whatever the market does. Steps are
shorter at longer horizons, since neighbouring outcomes overlap. What a band was at its origin, not what it is now, is compared.
Sources: Gibbs and Candes (2021), NeurIPS 34 (adaptive conformal inference); in its quantile-tracking form Angelopoulos, Candes
and Tibshirani (2023), NeurIPS 36, section 2.1; a score normalised by a local scale: Lei et al. (2018), JASA 113, section 5.2.
"""

from bisect import bisect_right
from typing import Self

import numpy as np

from zl_forecast import settings
from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows

LEVELS = np.array(settings.QUANTILE_LEVELS)
MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
IS_LOW = LEVELS < 0.5
MISS = np.where(IS_LOW, LEVELS, 1 - LEVELS)  # nominal share of outcomes beyond each quantile
STEP = 0.05  # of the log factor, a horizon's worth of outcomes; chosen on data to 2019, see DECISIONS.md
SPREAD = 0.3  # standard deviation of a miss of the 80 % band: one unit for all pairs, so that they answer alike
LARGEST_LOG_FACTOR = 1.5


class Conformal(EnsembleMethod):
    """Adapts the method that feeds it (column `over` of seeds/ensemble_methods.csv); its median stays."""

    needs_fit = False
    learns_daily = True

    def fit(self, rows: Rows) -> Self:
        self._known_on: dict[int, list[np.datetime64]] = {}
        self._log_factors: dict[int, list[np.ndarray]] = {}
        self.update(rows)
        return self

    def update(self, rows: Rows) -> None:
        adapted = rows.input(adapted_input(rows.inputs))
        for i in range(len(rows)):
            horizon = int(rows.horizon_days[i])
            at_origin = self._log_factor(horizon, rows.as_of_date[i])
            error = rows.z[i] - stretched(adapted[i], at_origin)
            missed = np.where(IS_LOW, error < 0, error > 0)
            move = (missed - MISS) / SPREAD
            move = (move + move[::-1]) / 2  # a pair of levels has one factor
            move[MEDIAN] = 0
            now = self._log_factors.get(horizon, [np.zeros(len(LEVELS))])[-1] + STEP / horizon * move
            self._known_on.setdefault(horizon, []).append(rows.target_date[i])
            self._log_factors.setdefault(horizon, []).append(np.clip(now, -LARGEST_LOG_FACTOR, LARGEST_LOG_FACTOR))

    def predict(self, rows: Rows) -> np.ndarray:
        factors = [self._log_factor(int(h), day) for h, day in zip(rows.horizon_days, rows.as_of_date, strict=True)]
        return stretched(rows.input(adapted_input(rows.inputs)), np.array(factors).reshape(len(rows), len(LEVELS)))

    def _log_factor(self, horizon: int, day: np.datetime64) -> np.ndarray:
        """The log factors that were in force on a day: those after the newest outcome that was known by then."""
        known = bisect_right(self._known_on.get(horizon, []), day)  # type: ignore[call-overload]  # numpy types no order of dates
        return self._log_factors[horizon][known - 1] if known else np.zeros(len(LEVELS))


def adapted_input(inputs: tuple[str, ...]) -> str:
    """The input that is adapted: the one beside the reference."""
    return next((name for name in inputs if name != REFERENCE), REFERENCE)


def stretched(quantiles: np.ndarray, log_factor: np.ndarray) -> np.ndarray:
    """Quantiles with their distances from the median times exp(log_factor), ascending; arrays of shape (..., n_levels)."""
    median = quantiles[..., [MEDIAN]]
    return np.sort(median + (quantiles - median) * np.exp(log_factor), axis=-1)


METHOD = Conformal

"""Adaptive conformal: scales the bands of a base method daily until their coverage is nominal.

The score is the distance of an outcome beyond a quantile. It is normalised by volatility, because forecasts and
outcomes are standardised returns. Each pair of levels (5 and 95, 10 and 90, 25 and 75 %) has one factor on its
distance from the median. When an outcome matures, the factor grows if the outcome is outside the pair and
shrinks if it is inside. The steps balance at nominal coverage, so the long-run miss rate converges to nominal
in any market. Steps are smaller at longer horizons, because neighbouring outcomes overlap. Each outcome is
compared with the band as it was at its origin.
Sources: Gibbs and Candes (2021), NeurIPS 34 (adaptive conformal inference); in its quantile-tracking form
Angelopoulos, Candes and Tibshirani (2023), NeurIPS 36, section 2.1; a score normalised by a local scale: Lei et
al. (2018), JASA 113, section 5.2.
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
STEP = 0.05  # of the log factor, per `horizon` outcomes; chosen on data to 2019, see DECISIONS.md
SPREAD = 0.3  # standard deviation of a miss of the 80 % band; one unit for all pairs, so that they react alike
MAX_LOG_FACTOR = 1.5


class Conformal(EnsembleMethod):
    """Scales the bands of its base method (column `base_method` of seeds/ensemble_methods.csv); the median is unchanged."""

    needs_fit = False
    learns_daily = True

    def fit(self, rows: Rows) -> Self:
        """Start with factors of one, and update them with the matured rows."""
        self._known_on: dict[int, list[np.datetime64]] = {}
        self._log_factors: dict[int, list[np.ndarray]] = {}
        self.update(rows)
        return self

    def update(self, rows: Rows) -> None:
        """Move the factors of each horizon with every matured outcome."""
        adapted = rows.input(adapted_input(rows.inputs))
        for i in range(len(rows)):
            horizon = int(rows.horizon_days[i])
            at_origin = self._log_factor(horizon, rows.as_of_date[i])
            error = rows.z_return[i] - stretched(adapted[i], at_origin)
            missed = np.where(IS_LOW, error < 0, error > 0)
            move = (missed - MISS) / SPREAD
            move = (move + move[::-1]) / 2  # a pair of levels has one factor
            move[MEDIAN] = 0
            now = self._log_factors.get(horizon, [np.zeros(len(LEVELS))])[-1] + STEP / horizon * move
            self._known_on.setdefault(horizon, []).append(rows.target_date[i])
            self._log_factors.setdefault(horizon, []).append(np.clip(now, -MAX_LOG_FACTOR, MAX_LOG_FACTOR))

    def predict(self, rows: Rows) -> np.ndarray:
        """Scale the base method's bands by the factors known at each as_of_date."""
        factors = [self._log_factor(int(h), day) for h, day in zip(rows.horizon_days, rows.as_of_date, strict=True)]
        return stretched(rows.input(adapted_input(rows.inputs)), np.array(factors).reshape(len(rows), len(LEVELS)))

    def _log_factor(self, horizon: int, day: np.datetime64) -> np.ndarray:
        """Log factors as of a date, after the newest outcome known on that date."""
        known = bisect_right(self._known_on.get(horizon, []), day)  # type: ignore[call-overload]  # dates are ordered
        return self._log_factors[horizon][known - 1] if known else np.zeros(len(LEVELS))


def adapted_input(inputs: tuple[str, ...]) -> str:
    """Return the input to adapt: the first one that is not the reference.

    Parameters
    ----------
    inputs : tuple of str

    Returns
    -------
    str
        The reference if it is the only input.
    """
    return next((name for name in inputs if name != REFERENCE), REFERENCE)


def stretched(quantiles: np.ndarray, log_factor: np.ndarray) -> np.ndarray:
    """Scale the distances of quantiles from their median.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        At `settings.QUANTILE_LEVELS`, any unit.
    log_factor : array of shape (..., n_levels)
        Natural log of the factor per level.

    Returns
    -------
    array of shape (..., n_levels)
        In the unit of `quantiles`, ascending.

    Examples
    --------
    Double all distances from the median:

    >>> quantiles = np.array([-4.0, -3.0, -1.0, 0.0, 1.0, 3.0, 4.0])
    >>> stretched(quantiles, np.full(7, np.log(2))).round(6).tolist()
    [-8.0, -6.0, -2.0, 0.0, 2.0, 6.0, 8.0]
    """
    median = quantiles[..., [MEDIAN]]
    return np.sort(median + (quantiles - median) * np.exp(log_factor), axis=-1)


METHOD = Conformal

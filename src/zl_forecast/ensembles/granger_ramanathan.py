"""Regression combination: the outcome on the inputs' medians, with weights at least zero that need not sum to one.

Weights that sum to one halve two signals that ought to be added: buckets see different drivers. The sum is trusted as far as
it forecasts blocks that it had not seen, so it is zero, and the median the reference's, where nothing forecasts.
Source: Granger and Ramanathan (1984), Journal of Forecasting 3, 197-204, method A, with weights held at zero or above.
"""

from typing import Self

import numpy as np
from scipy.optimize import nnls

from zl_forecast import settings
from zl_forecast.ensembles.base import Rows, WeightedMethod
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.ridge import purged_blocks, shrunk_slope

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)


class GrangerRamanathan(WeightedMethod):
    """One set of weights a horizon for the location; the width is that of the cross-fitted residuals."""

    def fit(self, rows: Rows) -> Self:
        self._residuals: dict[int, np.ndarray] = {}
        return super().fit(rows)

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        medians, y = rows.quantiles[:, :, MEDIAN], rows.z - np.median(rows.z)
        cross_fitted = np.zeros(len(y))
        for block, outside in purged_blocks(len(y), horizon):
            cross_fitted[block] = medians[block] @ nnls(medians[outside], y[outside])[0]
        slope = shrunk_slope(cross_fitted, y, horizon)
        self._residuals[horizon] = centred_quantiles(y - slope * cross_fitted, settings.QUANTILE_LEVELS)
        return slope * nnls(medians, y)[0]

    def predict(self, rows: Rows) -> np.ndarray:
        location = (self.weights(rows) * rows.quantiles[:, :, MEDIAN]).sum(axis=1)
        return location[:, None] + np.stack([self._residuals[horizon] for horizon in rows.horizon_days])


METHOD = GrangerRamanathan

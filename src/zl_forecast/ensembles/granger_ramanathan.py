"""Regression combination: the outcome on the inputs' medians, with non-negative weights that need not sum to one.

Weights with sum one would halve two signals that ought to be added, because buckets see different drivers. The
sum of the weights is scaled by how well they forecast held-out folds. If no input has skill, the sum is zero
and the median is the reference's.
Source: Granger and Ramanathan (1984), Journal of Forecasting 3, 197-204, method A, with non-negative weights.
"""

from typing import Self

import numpy as np
from scipy.optimize import nnls

from zl_forecast import settings
from zl_forecast.ensembles.base import Rows, WeightedMethod
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.ridge import purged_folds, shrunk_slope

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)


class GrangerRamanathan(WeightedMethod):
    """One set of weights per horizon for the median; the width comes from the cross-fitted residuals."""

    def fit(self, rows: Rows) -> Self:
        """Fit each horizon separately, and keep the residual quantiles."""
        self._residuals: dict[int, np.ndarray] = {}
        return super().fit(rows)

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Non-negative least-squares weights, shrunk by the slope of cross-fitted forecasts."""
        medians, y = rows.quantiles[:, :, MEDIAN], rows.z_return - np.median(rows.z_return)
        cross_fitted = np.zeros(len(y))
        for fold, outside in purged_folds(len(y), horizon):
            cross_fitted[fold] = medians[fold] @ nnls(medians[outside], y[outside])[0]
        slope = shrunk_slope(cross_fitted, y, horizon)
        self._residuals[horizon] = centred_quantiles(y - slope * cross_fitted, settings.QUANTILE_LEVELS)
        return slope * nnls(medians, y)[0]

    def predict(self, rows: Rows) -> np.ndarray:
        """Weighted sum of the inputs' medians, plus the residual quantiles of the horizon."""
        location = (self.weights(rows) * rows.quantiles[:, :, MEDIAN]).sum(axis=1)
        return location[:, None] + np.stack([self._residuals[horizon] for horizon in rows.horizon_days])


METHOD = GrangerRamanathan

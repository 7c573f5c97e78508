"""Regression combination: the outcome on the inputs' medians, with non-negative weights that need not sum to one.

Weights with sum one would halve two signals that ought to be added, because buckets see different drivers. The
sum of the weights is scaled by how well they forecast held-out folds. If no input has skill, the sum is zero
and the median is the reference's. A prior around zero keeps the weight of an input near zero whose median hardly
moved in the matured rows: without it such a weight has no bound, and the input may move in the next fold.
Sources: Granger and Ramanathan (1984), Journal of Forecasting 3, 197-204, method A, with non-negative weights;
Hoerl and Kennard (1970), Technometrics 12(1), 55-67, for the prior (ridge regression).
"""

from typing import Self

import numpy as np
from scipy.optimize import nnls

from zl_forecast import settings
from zl_forecast.ensembles.base import Rows, WeightedMethod
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.ridge import purged_folds, shrunk_slope

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
PRIOR_SD = 1.0  # of a weight; see DECISIONS.md


class GrangerRamanathan(WeightedMethod):
    """One set of weights per horizon for the median; the width comes from the cross-fitted residuals."""

    def fit(self, rows: Rows) -> Self:
        """Fit each horizon separately, and keep the residual quantiles."""
        self._residuals: dict[int, np.ndarray] = {}
        return super().fit(rows)

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Non-negative ridge weights, shrunk by the slope of cross-fitted forecasts."""
        medians, y = rows.quantiles[:, :, MEDIAN], rows.z_return - np.median(rows.z_return)
        cross_fitted = np.zeros(len(y))
        for fold, outside in purged_folds(len(y), horizon):
            cross_fitted[fold] = medians[fold] @ regression_weights(medians[outside], y[outside], horizon)
        slope = shrunk_slope(cross_fitted, y, horizon)
        self._residuals[horizon] = centred_quantiles(y - slope * cross_fitted, settings.QUANTILE_LEVELS)
        return slope * regression_weights(medians, y, horizon)

    def predict(self, rows: Rows) -> np.ndarray:
        """Weighted sum of the inputs' medians, plus the residual quantiles of the horizon."""
        location = (self.weights(rows) * rows.quantiles[:, :, MEDIAN]).sum(axis=1)
        return location[:, None] + np.stack([self._residuals[horizon] for horizon in rows.horizon_days])


def regression_weights(medians: np.ndarray, z_return: np.ndarray, horizon: int) -> np.ndarray:
    """Return the non-negative weights of a ridge regression; `PRIOR_SD` is the standard deviation of the prior.

    Parameters
    ----------
    medians : array of shape (n, n_inputs)
        Standardised returns.
    z_return : array of shape (n,)
        Realised standardised returns, whose residuals have variance one.
    horizon : int
        Sessions; n rows count as n / horizon samples.

    Returns
    -------
    array of shape (n_inputs,)
    """
    prior = np.sqrt(horizon) / PRIOR_SD * np.eye(medians.shape[1])
    return nnls(np.vstack([medians, prior]), np.concatenate([z_return, np.zeros(len(prior))]))[0]


METHOD = GrangerRamanathan

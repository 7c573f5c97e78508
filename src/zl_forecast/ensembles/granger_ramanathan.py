"""Regression combination: the outcome on the inputs' medians, with weights at least zero that need not sum to one.

Weights that sum to one halve two signals that ought to be added: buckets see different drivers. The sum is trusted as far as
it forecasts blocks that it had not seen, so it is zero, and the median the reference's, where nothing forecasts.
Source: Granger and Ramanathan (1984), Journal of Forecasting 3, 197-204, method A, with weights held at zero or above.
"""

from typing import Self

import numpy as np
from scipy.optimize import nnls

from zl_forecast import settings
from zl_forecast.ensembles.base import EnsembleMethod, Rows
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.families.ridge import purged_blocks, shrunk_slope

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)


class GrangerRamanathan(EnsembleMethod):
    """One set of weights a horizon for the location; the width is that of the cross-fitted residuals."""

    def fit(self, rows: Rows) -> Self:
        self._fits = {}
        for horizon in sorted(rows.key["horizon_days"].unique()):
            own = rows.take((rows.key["horizon_days"] == horizon).to_numpy())
            medians, y = own.quantiles[:, :, MEDIAN], own.z - np.median(own.z)
            cross_fitted = np.zeros(len(y))
            for block, outside in purged_blocks(len(y), horizon):
                cross_fitted[block] = medians[block] @ nnls(medians[outside], y[outside])[0]
            slope = shrunk_slope(cross_fitted, y, horizon)
            weights = slope * nnls(medians, y)[0]
            residuals = centred_quantiles(y - slope * cross_fitted, settings.QUANTILE_LEVELS)
            self._fits[horizon] = (dict(zip(own.inputs, weights, strict=True)), residuals)
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        weights = np.array(
            [[self._fits[h][0].get(name, 0.0) for name in rows.inputs] for h in rows.key["horizon_days"]]
        )
        location = (weights * rows.quantiles[:, :, MEDIAN]).sum(axis=1)
        return location[:, None] + np.stack([self._fits[h][1] for h in rows.key["horizon_days"]])

    def weights(self) -> dict[str, float]:
        return {f"{h}/{name}": w for h, (by_name, _) in self._fits.items() for name, w in by_name.items() if w > 0}

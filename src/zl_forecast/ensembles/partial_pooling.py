"""Partial pooling: the average's weights, moved by the evidence of all horizons together, then by each horizon's own.

Location and width are estimated apart. The median is a Bayesian linear regression of the outcome on the inputs'
medians. Its prior is the average; all horizons together give the prior of each single one. Evidence is counted
in samples that do not overlap, so a horizon of six months hardly moves its weights in ten years and takes those
that all horizons agree on. The width is the average's, scaled by one factor per horizon that is shrunk in the
same way: from one, to the factor of all horizons, to that of the horizon.
Sources: Gelman and Hill (2007), Data Analysis Using Regression and Multilevel/Hierarchical Models, chapter 12
(partial pooling); Diebold and Pauly (1990), International Journal of Forecasting 6, 503-508 (regression-based
combination shrunk towards equal weights).
"""

from typing import Self

import numpy as np

from zl_forecast import settings
from zl_forecast.ensembles.average import average_weights
from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
PRIOR_SD = 0.25  # of a weight of all horizons around that of the average; see DECISIONS.md
HORIZON_SD = 0.125  # of a weight of one horizon around that of all
MIN_WIDTH = 1e-6  # of half a band, standard deviations
BAND = [settings.QUANTILE_LEVELS.index(level) for level in (0.1, 0.9)]


class PartialPooling(EnsembleMethod):
    """Weights on the medians and one factor on the width per horizon."""

    def fit(self, rows: Rows) -> Self:
        """Fit the weights and factors of all horizons together, then those of each horizon."""
        prior = average_weights(rows.inputs)
        is_free = np.array(rows.inputs) != REFERENCE
        horizons = list(rows.by_horizon())
        moments = {horizon: _moments(own, horizon, is_free) for horizon, own in horizons}
        # the horizons of a session share its outcome, so together they count half
        xx, xy = (np.sum(parts, axis=0) / 2 for parts in zip(*moments.values(), strict=True))
        pooled = _posterior(xx, xy, prior[is_free], PRIOR_SD)
        scales = {horizon: _log_scale(own, horizon, prior) for horizon, own in horizons}
        samples = {horizon: len(own) / horizon for horizon, own in horizons}
        n = sum(samples.values()) / 2
        common = sum(samples[h] * scales[h] for h in scales) / sum(samples.values())
        common *= n / (n + settings.PRIOR_SAMPLES)
        self._weights: dict[int, np.ndarray] = {}
        self._scale: dict[int, float] = {}
        for horizon in moments:
            self._weights[horizon] = np.zeros(len(prior))
            self._weights[horizon][is_free] = _posterior(*moments[horizon], pooled, HORIZON_SD)
            own = samples[horizon] / (samples[horizon] + settings.PRIOR_SAMPLES)
            self._scale[horizon] = float(np.exp(common + own * (scales[horizon] - common)))
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        """Weighted sum of the medians, with the average's bands scaled around it."""
        average = np.einsum("i,nil->nl", average_weights(rows.inputs), rows.quantiles)
        weights = np.stack([self._weights[int(horizon)] for horizon in rows.horizon_days])
        scale = np.array([self._scale[int(horizon)] for horizon in rows.horizon_days])
        median = (weights * rows.quantiles[:, :, MEDIAN]).sum(axis=1)
        return median[:, None] + scale[:, None] * (average - average[:, [MEDIAN]])


def _moments(rows: Rows, horizon: int, is_free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """X'X and X'y of the regression on the medians, in samples that do not overlap."""
    x = rows.quantiles[:, is_free, MEDIAN]
    return x.T @ x / horizon, x.T @ rows.z_return / horizon


def _posterior(xx: np.ndarray, xy: np.ndarray, prior: np.ndarray, prior_sd: float) -> np.ndarray:
    """Posterior mean of regression weights with a normal prior and residuals of variance one, which z_return has."""
    precision = np.eye(len(prior)) / prior_sd**2
    return np.linalg.solve(xx + precision, xy + precision @ prior)


def _log_scale(rows: Rows, horizon: int, prior: np.ndarray) -> float:
    """Log of the factor on the average's bands that would have covered 80 % of the outcomes."""
    average = np.einsum("i,nil->nl", prior, rows.quantiles)
    error = rows.z_return - average[:, MEDIAN]
    edges = np.maximum(np.abs(average[:, BAND] - average[:, [MEDIAN]]), MIN_WIDTH)
    reached = np.abs(error) / np.where(error < 0, edges[:, 0], edges[:, 1])
    return float(np.log(max(np.quantile(reached, 0.8), 0.2)))


METHOD = PartialPooling

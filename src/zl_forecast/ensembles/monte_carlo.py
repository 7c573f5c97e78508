"""Monte Carlo consensus: paths drawn from every input's distribution together, averaged with weights by past performance.

A path has a value of each input at once. Inputs that err together are drawn together: their normal scores have the correlation that
the scores of the outcomes had in the past (a Gaussian copula). Drawn apart, ten resembling inputs would average to a band far too
narrow; drawn as one, to the plain mean of quantiles. Weights are exponential in the pinball loss relative to the reference's, with
as many samples as do not overlap behind them.
Sources: Winkler (1981), Management Science 27, 479-488 (dependent experts); weights as in Vovk (1990), COLT 3, 371-383.
"""

from typing import Self

import numpy as np
from scipy.special import softmax

from zl_forecast import settings
from zl_forecast.distribution import normal_scores, values
from zl_forecast.ensembles.base import REFERENCE, Rows, WeightedMethod
from zl_forecast.scoring import pinball

PATHS = 2_000
WIDEST_SCORE = 4.0  # an outcome far outside of a narrow input counts as a four-sigma event


def performance_weights(rows: Rows, horizon: int) -> np.ndarray:
    """Weights exp(-samples x relative loss), at least zero, with sum one; array of shape (n_inputs,)."""
    losses = np.array([pinball(rows.z, rows.input(name), settings.QUANTILE_LEVELS).mean() for name in rows.inputs])
    return softmax(-len(rows) / horizon * losses / losses[rows.inputs.index(REFERENCE)])


def score_correlation(rows: Rows) -> np.ndarray:
    """Correlation of the inputs' normal scores of the outcomes, array of shape (n_inputs, n_inputs)."""
    scores = normal_scores(rows.quantiles, rows.z[:, None, None])[..., 0].clip(-WIDEST_SCORE, WIDEST_SCORE)
    spread = np.maximum(np.sqrt((scores**2).mean(axis=0)), 1e-9)
    return (scores / spread).T @ (scores / spread) / len(scores)  # about zero: a common error is what is looked for


class MonteCarlo(WeightedMethod):
    """Quantiles of the weighted mean over paths; the same draws in every row, so rows differ by their forecasts alone."""

    def fit(self, rows: Rows) -> Self:
        self._draws: dict[
            int, np.ndarray
        ] = {}  # normal scores of the paths by horizon, arrays of shape (PATHS, n_inputs)
        return super().fit(rows)

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        eigenvalues, vectors = np.linalg.eigh(score_correlation(rows))
        root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
        draws = np.random.default_rng(settings.SEED).standard_normal((PATHS // 2, len(rows.inputs))) @ root.T
        draws = np.concatenate([draws, -draws])
        self._draws[horizon] = draws / np.maximum(draws.std(axis=0), 1e-9)
        return performance_weights(rows, horizon)

    def predict(self, rows: Rows) -> np.ndarray:
        result = np.empty((len(rows), len(settings.QUANTILE_LEVELS)))
        weights = self.weights(rows)
        for i, horizon in enumerate(rows.horizon_days):
            paths = values(rows.quantiles[i], self._draws[horizon].T)
            result[i] = np.quantile(weights[i] @ paths, settings.QUANTILE_LEVELS)
        return result


METHOD = MonteCarlo

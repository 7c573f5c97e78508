"""Monte Carlo consensus: joint draws from the inputs with correlated errors, averaged with weights by past loss.

A path has one value per input. Errors of the inputs are correlated as in the past: normal scores of the
outcomes define the correlation of a Gaussian copula. Independent draws of ten similar inputs would average to a
band that is far too narrow; perfectly correlated draws give the plain mean of quantiles. Weights are
exponential in the pinball loss relative to the reference's, times the number of non-overlapping samples.
Sources: Winkler (1981), Management Science 27, 479-488 (dependent experts); weights as in Vovk (1990), COLT 3,
371-383.
"""

from typing import Self

import numpy as np
from scipy.special import softmax

from zl_forecast import settings
from zl_forecast.distribution import normal_scores, values
from zl_forecast.ensembles.base import REFERENCE, Rows, WeightedMethod
from zl_forecast.scoring import pinball

PATHS = 2_000
MAX_SCORE = 4.0  # bound on normal scores: four standard deviations


def performance_weights(rows: Rows, horizon: int) -> np.ndarray:
    """Compute weights exp(-n_samples * loss / reference_loss), normalised to sum one.

    Source: Vovk (1990), COLT 3, 371-383.

    Parameters
    ----------
    rows : Rows
        Matured rows of one horizon.
    horizon : int
        Sessions; n rows count as n / horizon samples.

    Returns
    -------
    array of shape (n_inputs,)
        Non-negative, with sum one.
    """
    losses = np.array(
        [pinball(rows.z_return, rows.input(name), settings.QUANTILE_LEVELS).mean() for name in rows.inputs]
    )
    return softmax(-len(rows) / horizon * losses / losses[rows.inputs.index(REFERENCE)])


def score_correlation(rows: Rows) -> np.ndarray:
    """Estimate the correlation of the inputs' normal scores of the outcomes, around zero.

    Scores are clipped at `MAX_SCORE`.

    Parameters
    ----------
    rows : Rows
        Matured rows of one horizon.

    Returns
    -------
    array of shape (n_inputs, n_inputs)
        Symmetric, with ones on the diagonal.
    """
    scores = normal_scores(rows.quantiles, rows.z_return[:, None, None])[..., 0].clip(-MAX_SCORE, MAX_SCORE)
    spread = np.maximum(np.sqrt((scores**2).mean(axis=0)), 1e-9)
    return (scores / spread).T @ (scores / spread) / len(scores)  # around zero: a common bias counts as well


class MonteCarlo(WeightedMethod):
    """Quantiles of the weighted mean over paths; every row uses the same draws."""

    def fit(self, rows: Rows) -> Self:
        """Fit each horizon separately, and keep its draws."""
        self._draws: dict[
            int, np.ndarray
        ] = {}  # normal scores of the paths by horizon, arrays of shape (PATHS, n_inputs)
        return super().fit(rows)

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Draw correlated normal scores for the horizon, and return the performance weights."""
        eigenvalues, vectors = np.linalg.eigh(score_correlation(rows))
        root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
        draws = np.random.default_rng(settings.SEED).standard_normal((PATHS // 2, len(rows.inputs))) @ root.T
        draws = np.concatenate([draws, -draws])
        self._draws[horizon] = draws / np.maximum(draws.std(axis=0), 1e-9)
        return performance_weights(rows, horizon)

    def predict(self, rows: Rows) -> np.ndarray:
        """Quantiles over paths of the weighted mean of the inputs' values."""
        result = np.empty((len(rows), len(settings.QUANTILE_LEVELS)))
        weights = self.weights(rows)
        for i, horizon in enumerate(rows.horizon_days):
            paths = values(rows.quantiles[i], self._draws[horizon].T)
            result[i] = np.quantile(weights[i] @ paths, settings.QUANTILE_LEVELS)
        return result


METHOD = MonteCarlo

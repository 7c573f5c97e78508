"""Quantile regression averaging: weights at least zero, with sum one, that minimise the pinball loss of the combined quantiles.

One set of weights serves all levels of a horizon, since few samples at long horizons do not overlap. Weight on anything but the
reference costs a penalty that fades with the number of samples, so that it must be earned. A linear programme.
Sources: Nowotarski and Weron (2015), Computational Statistics 30, 791-803; penalty as in Uniejewski and Weron (2021), Energy Economics 95, 105121.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack, identity, vstack

from zl_forecast import settings
from zl_forecast.ensembles.base import REFERENCE, Rows, WeightedMethod
from zl_forecast.scoring import pinball

ROWS_A_HORIZON = 5  # rows kept of each `horizon` overlapping ones: neighbours say nearly the same
PENALTY = 1.0  # in units of the reference's mean loss, divided by the number of independent samples


class QuantileRegressionAveraging(WeightedMethod):
    """Simplex-constrained, with an L1 penalty on all weights but the reference's."""

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        samples = max(len(rows) / horizon, 1.0)
        thinned = rows.take(slice(None, None, max(1, horizon // ROWS_A_HORIZON)))
        loss = pinball(rows.z, rows.input(REFERENCE), settings.QUANTILE_LEVELS).mean()
        penalty = np.array([0.0 if name == REFERENCE else PENALTY * loss / samples for name in rows.inputs])
        return simplex_weights(thinned.quantiles, thinned.z, penalty)


def simplex_weights(quantiles: np.ndarray, z: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights with the least mean pinball loss plus penalty.

    Parameters
    ----------
    quantiles : array of shape (n, n_inputs, n_levels)
    z : array of shape (n,)
    penalty : array of shape (n_inputs,)
        Cost of a weight of one, in the unit of z.

    Returns
    -------
    array of shape (n_inputs,)
        At least zero, with sum one.
    """
    n, k, levels = quantiles.shape
    level = np.tile(settings.QUANTILE_LEVELS, n)
    design = quantiles.transpose(0, 2, 1).reshape(n * levels, k)
    rows = n * levels
    # z = design @ w + above - below, above and below at least zero
    equalities = vstack(
        [
            hstack([csr_matrix(design), identity(rows), -identity(rows)]),
            csr_matrix(([1.0] * k, ([0] * k, range(k))), shape=(1, k + 2 * rows)),
        ]
    )
    cost = np.concatenate([penalty, level / rows, (1 - level) / rows])
    solved = linprog(cost, A_eq=equalities.tocsc(), b_eq=np.append(np.repeat(z, levels), 1.0), method="highs")
    if solved.x is None:
        raise ValueError(f"the linear programme of {rows} rows has no solution: {solved.message}")
    weights = np.maximum(solved.x[:k], 0)
    return weights / weights.sum()


METHOD = QuantileRegressionAveraging

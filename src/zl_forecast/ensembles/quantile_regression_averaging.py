"""Quantile regression averaging: simplex weights that minimise the pinball loss of the combined quantiles.

All levels of a horizon share one set of weights, because long horizons have few non-overlapping samples. Weight
on any input but the reference has a penalty that decreases with the number of samples. The problem is a linear
programme.
Sources: Nowotarski and Weron (2015), Computational Statistics 30, 791-803; penalty as in Uniejewski and Weron
(2021), Energy Economics 95, 105121.
"""

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_matrix, hstack, identity, vstack

from zl_forecast import settings
from zl_forecast.ensembles.base import REFERENCE, Rows, WeightedMethod
from zl_forecast.scoring import pinball

ROWS_A_HORIZON = 5  # rows kept per `horizon` sessions; neighbouring rows are nearly equal
PENALTY = 1.0  # in units of the reference's mean loss, divided by the number of independent samples


class QuantileRegressionAveraging(WeightedMethod):
    """Simplex-constrained weights with an L1 penalty on all weights except the reference's."""

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Simplex weights with the least penalised pinball loss on thinned rows, see `simplex_weights`."""
        samples = max(len(rows) / horizon, 1.0)
        thinned = rows.take(slice(None, None, max(1, horizon // ROWS_A_HORIZON)))
        loss = pinball(rows.z_return, rows.input(REFERENCE), settings.QUANTILE_LEVELS).mean()
        penalty = np.array([0.0 if name == REFERENCE else PENALTY * loss / samples for name in rows.inputs])
        return simplex_weights(thinned.quantiles, thinned.z_return, penalty)


def simplex_weights(quantiles: np.ndarray, z_return: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Compute the non-negative weights with sum one that minimise mean pinball loss plus penalty.

    Parameters
    ----------
    quantiles : array of shape (n, n_inputs, n_levels)
        Standardised returns at `settings.QUANTILE_LEVELS`.
    z_return : array of shape (n,)
        Realised standardised returns.
    penalty : array of shape (n_inputs,)
        Cost per unit of weight, in the unit of z_return.

    Returns
    -------
    array of shape (n_inputs,)
        Non-negative, with sum one.

    Raises
    ------
    ValueError
        If the solver finds no solution.
    """
    n, k, levels = quantiles.shape
    level = np.tile(settings.QUANTILE_LEVELS, n)
    design = quantiles.transpose(0, 2, 1).reshape(n * levels, k)
    rows = n * levels
    # z_return = design @ w + above - below, above and below at least zero
    equalities = vstack(
        [
            hstack([csr_matrix(design), identity(rows), -identity(rows)]),
            csr_matrix(([1.0] * k, ([0] * k, range(k))), shape=(1, k + 2 * rows)),
        ]
    )
    cost = np.concatenate([penalty, level / rows, (1 - level) / rows])
    solved = linprog(cost, A_eq=equalities.tocsc(), b_eq=np.append(np.repeat(z_return, levels), 1.0), method="highs")
    if solved.x is None:
        raise ValueError(f"the linear programme of {rows} rows has no solution: {solved.message}")
    weights = np.maximum(solved.x[:k], 0)
    return weights / weights.sum()


METHOD = QuantileRegressionAveraging

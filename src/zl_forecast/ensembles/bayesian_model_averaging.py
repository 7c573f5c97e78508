"""Bayesian model averaging: each input's posterior probability from its predictive likelihood, and the mixture of all inputs.

Overlapping targets say the same thing several times, so the log likelihood of n rows at horizon h counts as n / h samples. Half of the
prior is the reference's: the other inputs' forecasts are mostly the reference's as well, and many of a kind must not outvote it.
Sources: Hoeting, Madigan, Raftery and Volinsky (1999), Statistical Science 14(4), 382-417; mixture of forecast densities as in
Raftery et al. (2005), Monthly Weather Review 133, 1155-1174, section 2; power of the likelihood as in Holmes and Walker (2017), Biometrika 104, 497-503.
"""

import numpy as np
from scipy.special import softmax

from zl_forecast.distribution import log_densities
from zl_forecast.ensembles.base import REFERENCE, MixtureMethod, Rows, WeightedMethod

PRIOR_OF_REFERENCE = 0.5


def log_prior(inputs: tuple[str, ...]) -> np.ndarray:
    """Log prior probabilities of the inputs, array of shape (n_inputs,)."""
    others = max(len(inputs) - 1, 1)
    alone = len(inputs) == 1
    return np.log(
        [
            1.0 if alone else PRIOR_OF_REFERENCE if name == REFERENCE else (1 - PRIOR_OF_REFERENCE) / others
            for name in inputs
        ]
    )


def log_likelihoods(rows: Rows) -> np.ndarray:
    """Log predictive density of each input at each outcome, array of shape (n, n_inputs)."""
    return log_densities(rows.quantiles, rows.z[:, None, None])[..., 0]


def posterior(rows: Rows, horizon: int) -> np.ndarray:
    """Posterior probabilities of the inputs after matured rows of one horizon.

    Parameters
    ----------
    rows : Rows
        One a session.
    horizon : int
        In sessions: n rows count as n / horizon samples.

    Returns
    -------
    array of shape (n_inputs,)
        At least zero, with sum one; the prior without any row.
    """
    return softmax(log_prior(rows.inputs) + log_likelihoods(rows).sum(axis=0) / horizon)


class BayesianModelAveraging(MixtureMethod, WeightedMethod):
    """Posterior probabilities as of the block's beginning."""

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        return posterior(rows, horizon)


METHOD = BayesianModelAveraging

"""Bayesian model averaging: a mixture of all inputs, weighted by posterior probabilities.

Posterior probabilities come from the inputs' predictive likelihoods. Overlapping targets repeat the same
information, so the log likelihood of n rows at horizon h counts as n / h samples. Half of the prior is the
reference's, because the other inputs mostly stay close to the reference and must not outweigh it by their
number.
Sources: Hoeting, Madigan, Raftery and Volinsky (1999), Statistical Science 14(4), 382-417; mixture of forecast
densities as in Raftery et al. (2005), Monthly Weather Review 133, 1155-1174, section 2; power of the likelihood
as in Holmes and Walker (2017), Biometrika 104, 497-503.
"""

import numpy as np
from scipy.special import softmax

from zl_forecast.distribution import log_densities
from zl_forecast.ensembles.base import REFERENCE, MixtureMethod, Rows, WeightedMethod

PRIOR_OF_REFERENCE = 0.5


def log_prior(inputs: tuple[str, ...]) -> np.ndarray:
    """Compute the log prior probabilities of the inputs.

    Parameters
    ----------
    inputs : tuple of str
        Names, the reference among them.

    Returns
    -------
    array of shape (n_inputs,)
        `PRIOR_OF_REFERENCE` for the reference, the rest in equal parts for the others; as natural logarithms.

    Examples
    --------
    >>> np.exp(log_prior(("crush", "macro", "reference"))).round(6).tolist()
    [0.25, 0.25, 0.5]
    """
    others = max(len(inputs) - 1, 1)
    alone = len(inputs) == 1
    return np.log(
        [
            1.0 if alone else PRIOR_OF_REFERENCE if name == REFERENCE else (1 - PRIOR_OF_REFERENCE) / others
            for name in inputs
        ]
    )


def log_likelihoods(rows: Rows) -> np.ndarray:
    """Compute the log predictive density of each input at each outcome.

    Parameters
    ----------
    rows : Rows
        Matured.

    Returns
    -------
    array of shape (n, n_inputs)
        Natural log of a density per unit of standardised return.
    """
    return log_densities(rows.quantiles, rows.z_return[:, None, None])[..., 0]


def posterior(rows: Rows, horizon: int) -> np.ndarray:
    """Compute the posterior probabilities of the inputs after matured rows of one horizon.

    Parameters
    ----------
    rows : Rows
        Matured, one per session.
    horizon : int
        Sessions; n rows count as n / horizon samples.

    Returns
    -------
    array of shape (n_inputs,)
        Non-negative, with sum one; the prior if there are no rows.
    """
    return softmax(log_prior(rows.inputs) + log_likelihoods(rows).sum(axis=0) / horizon)


class BayesianModelAveraging(MixtureMethod, WeightedMethod):
    """Posterior probabilities at the start of the fold."""

    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Posterior probabilities of the inputs, see `posterior`."""
        return posterior(rows, horizon)


METHOD = BayesianModelAveraging

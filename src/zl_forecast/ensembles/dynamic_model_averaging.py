"""Dynamic model averaging: a mixture whose weights discount older outcomes (exponential forgetting).

At each session the probabilities are raised to the power alpha, the prior's to 1 - alpha, and the product is
multiplied by the predictive likelihood of the matured row. That likelihood has the power 1 / h, because
neighbouring targets overlap. Alpha is set so that the memory is a fixed number of independent samples; the
discounted part returns to the prior.
Source: Raftery, Karny and Ettler (2010), Technometrics 52(1), 52-66, section 3.2, with their forgetting on the
models' probabilities.
"""

from typing import Self

import numpy as np
from scipy.special import log_softmax

from zl_forecast.ensembles.base import MixtureMethod, Rows
from zl_forecast.ensembles.bayesian_model_averaging import log_likelihoods, log_prior

MEMORY_SAMPLES = 50  # effective number of independent samples behind the weights
MIN_PROBABILITY = 1e-3  # lower bound, so that a poor input can regain weight


class DynamicModelAveraging(MixtureMethod):
    """Weights per session; log probabilities are stored per horizon."""

    learns_daily = True

    def fit(self, rows: Rows) -> Self:
        """Start from the prior, and update with the matured rows."""
        self._prior = log_prior(rows.inputs)
        self._log: dict[int, np.ndarray] = {}
        self.update(rows)
        return self

    def _log_after(self, rows: Rows, horizon: int) -> np.ndarray:
        """Log probabilities after further rows of one horizon, array of shape (n_inputs,)."""
        alpha = 1 - 1 / (MEMORY_SAMPLES * horizon)
        log = self._log.get(horizon, self._prior)
        for likelihood in log_likelihoods(rows) / horizon:
            log = log_softmax(alpha * log + (1 - alpha) * self._prior + likelihood)
            log = log_softmax(np.maximum(log, np.log(MIN_PROBABILITY)))
        return log

    def update(self, rows: Rows) -> None:
        """Update the log probabilities of each horizon with its matured rows."""
        self._log |= {horizon: self._log_after(own, horizon) for horizon, own in rows.by_horizon()}

    def weights(self, rows: Rows) -> np.ndarray:
        """Current probabilities of the inputs at each row's horizon, shape (n, n_inputs)."""
        return np.exp([self._log.get(int(horizon), self._prior) for horizon in rows.horizon_days])


METHOD = DynamicModelAveraging

"""Dynamic model averaging: posterior probabilities that forget, so that the weight moves on when another input becomes the better one.

Each session the probabilities are raised to the power alpha, and the prior's to 1 - alpha, and multiplied by the predictive likelihood
of the row that matured, to the power 1 / h since neighbouring targets overlap. Alpha is set so that the memory is a number of
independent samples; what is forgotten goes back to the prior.
Source: Raftery, Karny and Ettler (2010), Technometrics 52(1), 52-66, section 3.2, with their forgetting on the models' probabilities.
"""

from typing import Self

import numpy as np
from scipy.special import log_softmax

from zl_forecast.ensembles.base import MixtureMethod, Rows
from zl_forecast.ensembles.bayesian_model_averaging import log_likelihoods, log_prior

MEMORY_SAMPLES = 50  # independent samples that the weights rest on
LEAST_PROBABILITY = 1e-3  # an input that was written off can come back


class DynamicModelAveraging(MixtureMethod):
    """Weights of every session; the log probabilities are kept a horizon."""

    learns_daily = True

    def fit(self, rows: Rows) -> Self:
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
            log = log_softmax(np.maximum(log, np.log(LEAST_PROBABILITY)))
        return log

    def update(self, rows: Rows) -> None:
        self._log |= {horizon: self._log_after(own, horizon) for horizon, own in rows.by_horizon()}

    def weights(self, rows: Rows) -> np.ndarray:
        return np.exp([self._log.get(int(horizon), self._prior) for horizon in rows.horizon_days])


METHOD = DynamicModelAveraging

"""AutoGluon's WeightedEnsemble over the inputs: greedy forward selection with replacement on pinball loss.

Its selection is called as it is, not through a predictor: there, `max_base_models_per_type` would count all inputs as one
type of model and quietly drop all but the best one or two.
Source: Caruana et al. (2004), ICML 21, 18; as implemented in AutoGluon.
"""

from typing import Self

import numpy as np
from autogluon.core.metrics import pinball_loss
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

from zl_forecast import settings
from zl_forecast.ensembles.base import EnsembleMethod, Rows

ROUNDS = 25  # AutoGluon's number: weights are multiples of 1 / rounds or coarser


class WeightedEnsemble(EnsembleMethod):
    """One set of weights a horizon; they are not negative and sum to one."""

    def fit(self, rows: Rows) -> Self:
        self._weights = {
            horizon: self._fit_horizon(rows.take((rows.key["horizon_days"] == horizon).to_numpy()))
            for horizon in sorted(rows.key["horizon_days"].unique())
        }
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        weights = np.array(
            [[self._weights[h].get(name, 0.0) for name in rows.inputs] for h in rows.key["horizon_days"]]
        )
        return np.einsum("ni,nil->nl", weights, rows.quantiles)

    def weights(self) -> dict[str, float]:
        return {f"{h}/{name}": w for h, by_name in self._weights.items() for name, w in by_name.items()}

    @staticmethod
    def _fit_horizon(rows: Rows) -> dict[str, float]:
        selection = EnsembleSelection(
            ensemble_size=ROUNDS,
            problem_type="quantile",
            metric=pinball_loss,
            random_state=np.random.RandomState(settings.SEED),
            quantile_levels=list(settings.QUANTILE_LEVELS),
        )
        selection.fit([rows.input(name) for name in rows.inputs], rows.z)
        return {name: float(w) for name, w in zip(rows.inputs, selection.weights_, strict=True) if w > 0}

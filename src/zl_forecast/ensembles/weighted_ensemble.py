"""AutoGluon's WeightedEnsemble over the inputs: greedy forward selection with replacement on pinball loss.

Its selection is called as it is, not through a predictor: there, `max_base_models_per_type` would count all inputs as one
type of model and quietly drop all but the best one or two.
Source: Caruana et al. (2004), ICML 21, 18; as implemented in AutoGluon.
"""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import EnsembleMethod, Rows
from zl_forecast.families.stacking import greedy_weights


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
        weights = greedy_weights([rows.input(name) for name in rows.inputs], rows.z)
        return {name: float(w) for name, w in zip(rows.inputs, weights, strict=True) if w > 0}

"""AutoGluon's WeightedEnsemble_L2 over the inputs: greedy forward selection with replacement on pinball loss.

Source: Caruana et al. (2004), ICML 21, 18; as implemented in AutoGluon.
"""

import tempfile
from typing import Self

import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel

from zl_forecast import settings
from zl_forecast.ensembles.base import EnsembleMethod, Rows


class InputModel(AbstractModel):
    """A model that returns one input's quantiles as they are, so that AutoGluon can weight forecasts made elsewhere."""

    ag_key = "ENSEMBLE_INPUT"
    ag_name = "EnsembleInput"
    ag_priority = 0
    _supported_problem_types = ("quantile",)

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        name = self._get_model_params()["input"]
        self.model = [f"{name}__{column}" for column in settings.QUANTILE_COLUMNS]

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        return X[self.model].to_numpy()


class WeightedEnsemble(EnsembleMethod):
    """One set of weights a horizon; they are not negative and sum to one."""

    def fit(self, rows: Rows) -> Self:
        self._weights = {
            horizon: self._fit_horizon(rows.take((rows.key["horizon_days"] == horizon).to_numpy()))
            for horizon in sorted(rows.key["horizon_days"].unique())
        }
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        weights = np.array([[self._weights[h].get(name, 0.0) for name in rows.inputs] for h in rows.key["horizon_days"]])
        return np.einsum("ni,nil->nl", weights, rows.quantiles)

    def weights(self) -> dict[str, float]:
        return {f"{h}/{name}": w for h, by_name in self._weights.items() for name, w in by_name.items()}

    @staticmethod
    def _fit_horizon(rows: Rows) -> dict[str, float]:
        from autogluon.tabular import TabularPredictor

        data = rows.frame().drop(columns="horizon_days").assign(z=rows.z)
        with tempfile.TemporaryDirectory() as folder:
            predictor = TabularPredictor(
                label="z",
                problem_type="quantile",
                quantile_levels=list(settings.QUANTILE_LEVELS),
                path=folder,
                verbosity=0,
                log_to_file=False,
            )
            predictor.fit(
                data,
                tuning_data=data.set_axis(data.index + len(data)),  # the inputs learn nothing here, so nothing leaks
                hyperparameters={
                    InputModel: [
                        {"input": name, "ag_args": {"name": name, "name_suffix": ""}} for name in rows.inputs
                    ]
                },
                feature_generator=None,
                num_cpus=settings.THREADS_PER_FIT,
                num_gpus=0,
                dynamic_stacking=False,
                calibrate=False,
            )
            info = predictor.model_info("WeightedEnsemble_L2")
        return {name: float(w) for name, w in info["children_info"]["S1F1"]["model_weights"].items()}

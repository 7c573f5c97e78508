"""XGBoost with the pinball objective on all levels at once; AutoGluon's own XGBoost has no quantile mode.

Source: Chen and Guestrin (2016), KDD, 785-794; objective `reg:quantileerror`, XGBoost 2.0.
"""

import numpy as np
import pandas as pd

from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.families.shap import tree_shap


class XGBoostQuantileModel(QuantileModel):
    """AutoGluon adapter of an XGBoost booster with one output per quantile level."""

    ag_key = "XGB_QUANTILE"
    ag_name = "XGBoostQuantile"
    ag_priority = 60
    seed_name = "seed"

    def _fit(self, X: pd.DataFrame, y: pd.Series, num_cpus: int = 1, **kwargs) -> None:
        import xgboost

        params = self._get_model_params()
        rounds = params.pop("num_boost_round")
        self.model = xgboost.train(
            {
                **params,
                "objective": "reg:quantileerror",
                "quantile_alpha": np.array(self.quantile_levels),
                "tree_method": "hist",
                "nthread": num_cpus,
            },
            xgboost.QuantileDMatrix(self.preprocess(X), label=y),
            num_boost_round=rounds,
        )

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        return self.model.inplace_predict(self.preprocess(X, **kwargs))


def explain(model: XGBoostQuantileModel, X: pd.DataFrame) -> list[Explanation]:
    """Compute TreeSHAP values of all levels."""
    import xgboost

    X = model.preprocess(X)
    # the last column is the base value
    values = model.model.predict(xgboost.DMatrix(X), pred_contribs=True)
    return [tree_shap(values[:, :, :-1], X)]


FAMILY = Family(
    XGBoostQuantileModel,
    {
        "num_boost_round": 40,
        "eta": 0.03,
        "max_depth": 3,
        "min_child_weight": 400,
        "subsample": 0.5,
        "colsample_bytree": 0.4,
        "lambda": 10.0,
    },
    explain=explain,
)

"""LightGBM, one booster per quantile level.

Source: Ke et al. (2017), NeurIPS 30.
"""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family
from zl_forecast.families.shap import tree_shap


def explain(model, X: pd.DataFrame) -> list[Explanation]:
    """Compute TreeSHAP values of each level's booster."""
    X = model.preprocess(X)
    boosters = model.model.model_dict  # AutoGluon's QuantileBooster: level -> booster
    # the last column of each booster is the base value
    values = np.stack(
        [boosters[level].predict(X, pred_contrib=True)[:, :-1] for level in settings.QUANTILE_LEVELS], axis=1
    )
    return [tree_shap(values, X)]


FAMILY = Family(
    "GBM",
    {
        "num_boost_round": 40,
        "learning_rate": 0.03,
        "num_leaves": 6,
        "min_data_in_leaf": 400,
        "feature_fraction": 0.4,
        "bagging_fraction": 0.5,
        "bagging_freq": 1,
        "lambda_l2": 10.0,
        "max_bin": 63,
    },
    explain=explain,
)

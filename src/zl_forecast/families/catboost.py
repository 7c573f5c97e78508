"""CatBoost with the MultiQuantile loss.

Source: Prokhorenkova et al. (2018), NeurIPS 31.
"""

import pandas as pd

from zl_forecast.families.base import Explanation, Family
from zl_forecast.families.shap import tree_shap


def explain(model, X: pd.DataFrame) -> list[Explanation]:
    """Compute TreeSHAP values of all levels."""
    from catboost import Pool

    X = model.preprocess(X)
    # the last column is the base value
    values = model.model.get_feature_importance(Pool(X), type="ShapValues", thread_count=1)
    return [tree_shap(values[:, :, :-1], X)]


FAMILY = Family(
    "CAT",
    {
        "iterations": 40,
        "learning_rate": 0.03,
        "depth": 3,
        "l2_leaf_reg": 100.0,
        "min_data_in_leaf": 200,
        "rsm": 0.4,
        "bootstrap_type": "Bernoulli",
        "subsample": 0.5,
        "border_count": 64,
    },
    explain=explain,
)

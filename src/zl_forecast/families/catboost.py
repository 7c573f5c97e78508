"""CatBoost with the MultiQuantile loss. Source: Prokhorenkova et al. (2018), NeurIPS 31."""

from zl_forecast.families.base import Family

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
)

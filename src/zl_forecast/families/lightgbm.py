"""LightGBM, one booster a quantile level. Source: Ke et al. (2017), NeurIPS 30."""

from zl_forecast.families.base import Family

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
)

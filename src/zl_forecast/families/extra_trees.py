"""Extremely randomised trees with quantile leaves. Source: Geurts, Ernst and Wehenkel (2006), Machine Learning 63, 3-42."""

from zl_forecast.families.base import Family

FAMILY = Family(
    "XT", {"n_estimators": 50, "min_samples_leaf": 100, "max_features": 0.5, "max_samples": 0.3, "bootstrap": True}
)

"""Quantile regression forest. Source: Meinshausen (2006), Journal of Machine Learning Research 7, 983-999."""

from zl_forecast.families.base import Family

FAMILY = Family(
    "RF", {"n_estimators": 50, "min_samples_leaf": 200, "max_features": 0.3, "max_samples": 0.3, "bootstrap": True}
)

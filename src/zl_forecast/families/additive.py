"""Additive boosting: LightGBM with trees of a single split, so a forecast is a sum of one curve per feature.

Source: generalised additive models by boosting stumps, Friedman (2001), Annals of Statistics 29(5), 1189-1232, section 8.
"""

from zl_forecast.families.base import Family
from zl_forecast.families.lightgbm import FAMILY as LIGHTGBM

FAMILY = Family("GBM", LIGHTGBM.hyperparameters | {"num_leaves": 2, "num_boost_round": 100}, explain=LIGHTGBM.explain)

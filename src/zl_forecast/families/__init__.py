"""The model families. A new one is a module here, a line below and a row in seeds/families.csv."""

from zl_forecast.families import catboost, extra_trees, lightgbm, neural_net, random_forest, reference, ridge, xgboost
from zl_forecast.families.base import Family

FAMILIES: dict[str, Family] = {
    "reference": reference.FAMILY,
    "ridge": ridge.FAMILY,
    "lightgbm": lightgbm.FAMILY,
    "catboost": catboost.FAMILY,
    "xgboost": xgboost.FAMILY,
    "random_forest": random_forest.FAMILY,
    "extra_trees": extra_trees.FAMILY,
    "neural_net": neural_net.FAMILY,
}

__all__ = ["FAMILIES", "Family"]

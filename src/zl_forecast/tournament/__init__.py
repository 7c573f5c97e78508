"""The bucket tournaments: the competing families, their training and test rows, and their out-of-sample forecasts."""

from zl_forecast.tournament.plan import planned_fits
from zl_forecast.tournament.specialist import Inputs, enrolled_families, run_bucket, run_specialist
from zl_forecast.tournament.splits import Fold, inner_split, walk_forward

__all__ = [
    "Fold",
    "Inputs",
    "enrolled_families",
    "inner_split",
    "planned_fits",
    "run_bucket",
    "run_specialist",
    "walk_forward",
]

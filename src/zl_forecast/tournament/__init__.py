"""The bucket tournaments: which families compete, on which rows, and what each of them forecast out of sample."""

from zl_forecast.tournament.specialist import enrolled_families, run_specialist
from zl_forecast.tournament.splits import Fold, inner_split, walk_forward

__all__ = ["Fold", "enrolled_families", "inner_split", "run_specialist", "walk_forward"]

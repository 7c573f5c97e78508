"""The ensemble methods. A new one is a module here, a line below and a row in seeds/ensemble_methods.csv."""

from zl_forecast.ensembles.base import EnsembleMethod, Rows
from zl_forecast.ensembles.controls import EqualWeights, ReferenceAlone
from zl_forecast.ensembles.granger_ramanathan import GrangerRamanathan
from zl_forecast.ensembles.stacking import Stacking
from zl_forecast.ensembles.weighted_ensemble import WeightedEnsemble

METHODS: dict[str, type[EnsembleMethod]] = {
    "reference_alone": ReferenceAlone,
    "equal_weights": EqualWeights,
    "granger_ramanathan": GrangerRamanathan,
    "weighted_ensemble": WeightedEnsemble,
    "stacking": Stacking,
}

__all__ = ["METHODS", "EnsembleMethod", "Rows"]

"""What a model family of the tournament is."""

from dataclasses import dataclass, field

from autogluon.core.models import AbstractModel


@dataclass(frozen=True)
class Family:
    """One competitor of the bucket tournaments, fitted through AutoGluon's `TabularPredictor` in quantile mode.

    Attributes
    ----------
    model : str or subclass of AbstractModel
        AutoGluon's key of a built-in model ('GBM'), or a model class of our own.
    hyperparameters : dict
        Passed to AutoGluon as they are. Chosen on real data that ended by 2019-12; see DECISIONS.md.
    """

    model: str | type[AbstractModel]
    hyperparameters: dict = field(default_factory=dict)

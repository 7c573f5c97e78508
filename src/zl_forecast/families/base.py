"""What a model family of the tournament is, and what it says of its own forecasts."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from autogluon.core.models import AbstractModel


class QuantileModel(AbstractModel):
    """A model class of our own: quantiles only, and refitted on fit and tuning part together.

    Without the tag AutoGluon's `refit_full` is a copy of the first fit, which has not seen the newest rows.
    """

    _supported_problem_types = ("quantile",)

    def _more_tags(self) -> dict:
        return {"can_refit_full": True}


@dataclass(frozen=True)
class Explanation:
    """What moved a family's forecasts, by one method.

    Attributes
    ----------
    method : str
        'tree_shap', 'coefficients' (both exact, signed), 'permutation' (signed, approximate), 'attention' or
        'variable_selection' (weights from 0 to 1), or 'parameters'.
    median : DataFrame of shape (n_rows, n_features)
        One row a row of X, with its index; a column a feature. What the feature adds to P50, in units of the scaled
        return; for weights and parameters the value itself.
    width : DataFrame of shape (n_rows, n_features), optional
        The same for P90 - P10; None where the method does not tell the two apart.
    """

    method: str
    median: pd.DataFrame
    width: pd.DataFrame | None = None


@dataclass(frozen=True)
class Family:
    """One competitor of the bucket tournaments, fitted through AutoGluon's `TabularPredictor` in quantile mode.

    A family sees rows of features and `horizon_days` and must return ascending quantiles at
    `settings.QUANTILE_LEVELS` of the scaled return z, the same for the same rows, seed and one thread. Rows arrive ordered by
    as_of_date, horizon_days. A forecast may depend on the fitted model and its own row alone.

    Attributes
    ----------
    model : str or subclass of AbstractModel
        AutoGluon's key of a built-in model ('GBM'), or a subclass of `QuantileModel`, importable by its module's name.
    hyperparameters : dict
        Passed to AutoGluon as they are. Chosen on real data that ended by 2019-12; see DECISIONS.md.
    reads_lookback : bool
        Rows also carry the columns of `zl_forecast.families.lookback`: the sessions before the origin.
    explain : callable (fitted model, X) -> list of Explanation, optional
        What the family can say of itself. Where that is nothing signed, the tournament adds a 'permutation'.
    is_second_level : bool
        Its features are the out-of-fold forecasts of the other families, not the mart's.
    """

    model: str | type[AbstractModel]
    hyperparameters: dict = field(default_factory=dict)
    reads_lookback: bool = False
    explain: Callable[[AbstractModel, pd.DataFrame], list[Explanation]] | None = None
    is_second_level: bool = False

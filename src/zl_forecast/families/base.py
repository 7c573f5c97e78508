"""The interface of a model family in the tournament, and of its explanations."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from autogluon.core.models import AbstractModel


class QuantileModel(AbstractModel):
    """Base class of the project's own models: quantiles only, refitted on all training rows.

    Without the tag `can_refit_full`, AutoGluon's `refit_full` would copy the first fit, which has not seen the
    newest rows.
    """

    _supported_problem_types = ("quantile",)

    def _more_tags(self) -> dict:
        return {"can_refit_full": True}


@dataclass(frozen=True)
class Explanation:
    """Attributions of a family's forecasts by one method.

    Attributes
    ----------
    method : str
        'tree_shap', 'coefficients' (both exact, signed), 'permutation' (signed, approximate), 'attention' or
        'variable_selection' (weights from 0 to 1), or 'parameters'.
    median : DataFrame of shape (n_rows, n_features)
        One row per row of X, with its index; one column per feature. The contribution of the feature to P50 in
        standardised returns; for weights and parameters the value itself.
    width : DataFrame of shape (n_rows, n_features), optional
        The same for P90 - P10; None if the method does not separate the two.
    """

    method: str
    median: pd.DataFrame
    width: pd.DataFrame | None = None


@dataclass(frozen=True)
class Family:
    """One competitor of the bucket tournaments, fitted through AutoGluon's `TabularPredictor` in quantile mode.

    A family reads rows of features and `horizon_days`. It must return ascending quantiles of the standardised
    return z_return at `settings.QUANTILE_LEVELS`, and the same ones for the same rows and seed on one thread. Rows are
    ordered by as_of_date, horizon_days. A forecast may depend only on the fitted model and its own row.

    Attributes
    ----------
    model : str or subclass of AbstractModel
        AutoGluon's key of a built-in model ('GBM'), or a subclass of `QuantileModel` that can be imported by
        its module's name.
    hyperparameters : dict
        Passed to AutoGluon unchanged. Chosen on real data that ended by 2019-12; see DECISIONS.md.
    reads_lookback : bool
        Whether rows also have the columns of `zl_forecast.families.lookback`: the sessions before the origin.
    explain : callable (fitted model, X of shape (n_rows, n_features)) -> list of Explanation, optional
        The family's own attributions of rows as it reads them. If none of them is signed, the tournament adds a 'permutation'.
    is_second_level : bool
        Whether its features are the out-of-fold forecasts of the other families instead of the mart's.
    """

    model: str | type[AbstractModel]
    hyperparameters: dict = field(default_factory=dict)
    reads_lookback: bool = False
    explain: Callable[[AbstractModel, pd.DataFrame], list[Explanation]] | None = None
    is_second_level: bool = False

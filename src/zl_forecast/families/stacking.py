"""Stacking: a second level over the three best families, on their out-of-fold forecasts in earlier folds.

Per horizon, AutoGluon's greedy selection weights the three on pinball loss. The weights are shrunk towards
equal ones, more so with few independent samples.
Sources: Wolpert (1992), Neural Networks 5, 241-259; selection by Caruana et al. (2004), ICML 21, 18; equal
weights are hard to beat: Smith and Wallis (2009), Oxford Bulletin 71, 331-355.
"""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.families.base import Explanation, Family, QuantileModel
from zl_forecast.scoring import pinball

MEMBERS = 3
ROUNDS = 25  # AutoGluon's number: greedy weights are multiples of 1 / rounds or coarser
P10, P50, P90 = (settings.QUANTILE_LEVELS.index(level) for level in (0.10, 0.50, 0.90))


def column(family: str, quantile: str) -> str:
    """Return the name of the feature with a family's forecast of one quantile.

    Parameters
    ----------
    family : str
    quantile : str
        Column of `settings.QUANTILE_COLUMNS`.

    Returns
    -------
    str

    Examples
    --------
    >>> column("ridge", "q10")
    'ridge__q10'
    """
    return f"{family}__{quantile}"


def member_quantiles(X: pd.DataFrame) -> dict[str, np.ndarray]:
    """Collect the quantiles of each family from the feature columns.

    Parameters
    ----------
    X : DataFrame of n_rows rows
        Columns named by `column`, and others.

    Returns
    -------
    dict of str to array of shape (n_rows, n_levels)
        Standardised returns by family.
    """
    # AutoGluon adds an empty column named None to validation rows
    names = dict.fromkeys(name.rsplit("__", 1)[0] for name in X.columns if name is not None and "__" in name)
    return {name: X[[column(name, q) for q in settings.QUANTILE_COLUMNS]].to_numpy(float) for name in names}


def greedy_weights(members: list[np.ndarray], z_return: np.ndarray) -> np.ndarray:
    """Run AutoGluon's greedy forward selection with replacement, on pinball loss.

    Source: Caruana et al. (2004), ICML 21, 18.

    Parameters
    ----------
    members : list of n_members arrays of shape (n, n_levels)
        Standardised returns at `settings.QUANTILE_LEVELS`.
    z_return : array of shape (n,)
        Realised standardised returns.

    Returns
    -------
    array of shape (n_members,)
        Non-negative, with sum one.
    """
    from autogluon.core.metrics import pinball_loss
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    selection = EnsembleSelection(
        ensemble_size=ROUNDS,
        problem_type="quantile",
        metric=pinball_loss,
        random_state=np.random.RandomState(settings.SEED),
        quantile_levels=list(settings.QUANTILE_LEVELS),
    )
    selection.fit(members, z_return)
    return np.asarray(selection.weights_, float)


def stacking_weights(members: dict[str, np.ndarray], z_return: np.ndarray, overlap: int) -> dict[str, float]:
    """Estimate the weights of the best families at one horizon.

    Parameters
    ----------
    members : dict of arrays of shape (n, n_levels)
        Out-of-fold quantiles by family, standardised returns. A family with NaN in any row is not a candidate.
    z_return : array of shape (n,)
        Realised standardised returns.
    overlap : int
        Horizon in sessions; n / overlap samples are independent.

    Returns
    -------
    dict of str to float
        At most `MEMBERS` families, best first; non-negative, with sum one.
    """
    complete = {name: np.isfinite(quantiles).all(axis=1) for name, quantiles in members.items()}
    # a family that failed in a fold is not a candidate: its losses are not comparable
    losses = {
        name: pinball(z_return, quantiles, settings.QUANTILE_LEVELS).mean()
        for name, quantiles in members.items()
        if complete[name].all()
    }
    chosen = sorted(losses, key=losses.__getitem__)[:MEMBERS]
    greedy = greedy_weights([members[name] for name in chosen], z_return)
    samples = len(z_return) / overlap
    prior = settings.PRIOR_SAMPLES / len(chosen)
    weights = (samples * greedy + prior) / (samples + settings.PRIOR_SAMPLES)
    return dict(zip(chosen, map(float, weights), strict=True))


class StackingModel(QuantileModel):
    """AutoGluon adapter of `stacking_weights`. If a family has no forecast in a row, the others share its weight."""

    ag_key = "STACKING"
    ag_name = "Stacking"
    ag_priority = 1

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        self.model = {}
        for horizon, rows in X.groupby("horizon_days").indices.items():
            members = {name: quantiles[rows] for name, quantiles in member_quantiles(X).items()}
            self.model[horizon] = stacking_weights(members, y.to_numpy(float)[rows], int(horizon))

    def row_weights(self, X: pd.DataFrame) -> pd.DataFrame:
        """Compute the weight of each family in each row.

        Parameters
        ----------
        X : DataFrame of n_rows rows
            Rows as the family reads them.

        Returns
        -------
        DataFrame of shape (n_rows, n_families)
            With the index of X and sum one per row; zero where a family has no forecast. A horizon without
            training rows gets the mean weights of the others.
        """
        by_horizon = pd.DataFrame(self.model).T.fillna(0.0)
        weights = by_horizon.reindex(X["horizon_days"].to_numpy()).fillna(by_horizon.mean()).set_axis(X.index)
        members = member_quantiles(X)
        here = np.stack([np.isfinite(members[name]).all(axis=1) for name in weights.columns], axis=1)
        weights = weights.where(here, 0.0)
        return weights.div(weights.sum(axis=1), axis=0)

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        weights, members = self.row_weights(X), member_quantiles(X)
        return sum(weights[[name]].to_numpy() * np.nan_to_num(members[name]) for name in weights.columns)


def explain(model: StackingModel, X: pd.DataFrame) -> list[Explanation]:
    """Compute the contribution of each member, its weight times its own forecast, and the weights."""
    weights, members = model.row_weights(X), member_quantiles(X)
    median = pd.DataFrame({name: weights[name] * members[name][:, P50] for name in weights.columns}, index=X.index)
    width = pd.DataFrame(
        {name: weights[name] * (members[name][:, P90] - members[name][:, P10]) for name in weights.columns},
        index=X.index,
    )
    return [Explanation("coefficients", median, width), Explanation("parameters", weights)]


FAMILY = Family(StackingModel, explain=explain, is_second_level=True)

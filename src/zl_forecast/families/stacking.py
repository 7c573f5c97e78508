"""Stacking: a second level over the three best families, on what each of them forecast out of fold in earlier blocks.

Per horizon, AutoGluon's greedy selection weighs the three on pinball loss, and the weights are drawn towards equal ones as far
as there are few independent samples. Sources: Wolpert (1992), Neural Networks 5, 241-259; selection by Caruana et al. (2004),
ICML 21, 18; that equal weights are hard to beat: Smith and Wallis (2009), Oxford Bulletin 71, 331-355.
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
    """Name of the feature that holds a family's forecast of one quantile."""
    return f"{family}__{quantile}"


def member_quantiles(X: pd.DataFrame) -> dict[str, np.ndarray]:
    """Each family's quantiles, arrays of shape (n_rows, n_levels)."""
    # AutoGluon hands over an empty column named None beside validation rows
    names = dict.fromkeys(name.rsplit("__", 1)[0] for name in X.columns if name is not None and "__" in name)
    return {name: X[[column(name, q) for q in settings.QUANTILE_COLUMNS]].to_numpy(float) for name in names}


def greedy_weights(members: list[np.ndarray], z: np.ndarray) -> np.ndarray:
    """AutoGluon's greedy forward selection with replacement, on pinball loss.

    Parameters
    ----------
    members : list of arrays of shape (n, n_levels)
    z : array of shape (n,)

    Returns
    -------
    array of shape (n_members,)
        At least zero, with sum one.
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
    selection.fit(members, z)
    return np.asarray(selection.weights_, float)


def stacking_weights(members: dict[str, np.ndarray], z: np.ndarray, overlap: int) -> dict[str, float]:
    """Weights of the best families, at least zero, with sum one.

    Parameters
    ----------
    members : dict of arrays of shape (n, n_levels)
        Out-of-fold quantiles of one horizon; rows that a family failed in are NaN, and count for none of the chosen.
    z : array of shape (n,)
    overlap : int
        Horizon in sessions: n / overlap samples are independent.
    """
    complete = {name: np.isfinite(quantiles).all(axis=1) for name, quantiles in members.items()}
    # a family that failed in a block is no candidate: it was not tried where the others were
    losses = {
        name: pinball(z, quantiles, settings.QUANTILE_LEVELS).mean()
        for name, quantiles in members.items()
        if complete[name].all()
    }
    chosen = sorted(losses, key=losses.__getitem__)[:MEMBERS]
    greedy = greedy_weights([members[name] for name in chosen], z)
    samples = len(z) / overlap
    prior = settings.PRIOR_SAMPLES / len(chosen)
    weights = (samples * greedy + prior) / (samples + settings.PRIOR_SAMPLES)
    return dict(zip(chosen, map(float, weights), strict=True))


class StackingModel(QuantileModel):
    """AutoGluon adapter of `stacking_weights`; a family that fails in a row leaves its weight to the others."""

    ag_key = "STACKING"
    ag_name = "Stacking"
    ag_priority = 1

    def _fit(self, X: pd.DataFrame, y: pd.Series, **kwargs) -> None:
        self.model = {}
        for horizon, rows in X.groupby("horizon_days").indices.items():
            members = {name: quantiles[rows] for name, quantiles in member_quantiles(X).items()}
            self.model[horizon] = stacking_weights(members, y.to_numpy(float)[rows], int(horizon))

    def row_weights(self, X: pd.DataFrame) -> pd.DataFrame:
        """Weight of each family in each row; a horizon never seen takes the mean over the others."""
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
    """What each member adds, its weight times its own forecast, and the weights."""
    weights, members = model.row_weights(X), member_quantiles(X)
    median = pd.DataFrame({name: weights[name] * members[name][:, P50] for name in weights.columns}, index=X.index)
    width = pd.DataFrame(
        {name: weights[name] * (members[name][:, P90] - members[name][:, P10]) for name in weights.columns},
        index=X.index,
    )
    return [Explanation("coefficients", median, width), Explanation("parameters", weights)]


FAMILY = Family(StackingModel, explain=explain, is_second_level=True)

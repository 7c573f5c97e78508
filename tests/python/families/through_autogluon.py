"""Fit and refit one family as the tournament does, with reference and losses for comparison."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel
from threadpoolctl import threadpool_limits

from zl_forecast import settings
from zl_forecast.families.base import Family
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.scoring import pinball
from zl_forecast.tournament.predictor import fit_family, fitted_model
from zl_forecast.tournament.splits import inner_split, without_drift

NOT_SHOWN = ["as_of_date", "target_date", "is_matured"]


@dataclass(frozen=True)
class Fitted:
    """A refitted family."""

    model: AbstractModel

    def forecast(self, rows: pd.DataFrame) -> np.ndarray:
        """Quantiles of shape (n_rows, n_levels)."""
        return self.model.predict_proba(shown(rows))


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Select the columns that a family may read."""
    return rows.drop(columns=[*NOT_SHOWN, "z_return"])


def split(rows: pd.DataFrame, sessions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split at session `sessions`: matured training rows without each horizon's median, and later rows."""
    start = rows["as_of_date"].unique()[sessions]
    train = without_drift(rows[rows["is_matured"] & (rows["target_date"] < start)])
    return train, rows[(rows["as_of_date"] >= start) & rows["is_matured"]]


def fit(family: Family, train: pd.DataFrame, folder: Path) -> Fitted:
    """Fit, validate on the newest eighth, refit on all rows."""
    folder.mkdir(exist_ok=True, parents=True)
    parts = (part.drop(columns=NOT_SHOWN) for part in (*inner_split(train), train))
    with threadpool_limits(settings.THREADS_PER_FIT):  # as in a worker; more BLAS threads slow small matrices tenfold
        (folder / "facts.json").write_text(json.dumps(fit_family(family, *parts, folder)))
    return load(family, folder)


def load(family: Family, folder: Path) -> Fitted:
    """Load what `fit` wrote into a folder."""
    return Fitted(fitted_model(family, folder, json.loads((folder / "facts.json").read_text())))


def reference_forecast(train: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """Compute the reference's quantiles of `rows` from the training rows of a family's refit."""
    by_horizon = {
        h: centred_quantiles(z_return, settings.QUANTILE_LEVELS)
        for h, z_return in train.groupby("horizon_days")["z_return"]
    }
    return np.stack([by_horizon[h] for h in rows["horizon_days"]])


def loss(rows: pd.DataFrame, forecast: np.ndarray) -> pd.Series:
    """Compute the mean pinball loss by horizon over all published levels."""
    each = pinball(rows["z_return"].to_numpy(), forecast, settings.QUANTILE_LEVELS)
    return pd.Series(each).groupby(rows["horizon_days"].to_numpy()).mean()

"""One family fitted and refitted as the tournament does it, with the reference and the losses to compare it with."""

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
    """What a family may see of rows."""
    return rows.drop(columns=[*NOT_SHOWN, "z_return"])


def split(rows: pd.DataFrame, sessions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows whose target is known at session number `sessions`, each horizon's median taken out; rows from then on."""
    start = rows["as_of_date"].unique()[sessions]
    train = without_drift(rows[rows["is_matured"] & (rows["target_date"] < start)])
    return train, rows[(rows["as_of_date"] >= start) & rows["is_matured"]]


def fit(family: Family, train: pd.DataFrame, folder: Path) -> Fitted:
    """Fit, validate on the newest eighth, refit on both parts."""
    folder.mkdir(exist_ok=True, parents=True)
    parts = (part.drop(columns=NOT_SHOWN) for part in inner_split(train))
    with threadpool_limits(settings.THREADS_PER_FIT):  # as in a worker; BLAS threads slow small matrices down tenfold
        (folder / "facts.json").write_text(json.dumps(fit_family(family, *parts, folder)))
    return load(family, folder)


def load(family: Family, folder: Path) -> Fitted:
    """What `fit` has written into a folder."""
    return Fitted(fitted_model(family, folder, json.loads((folder / "facts.json").read_text())))


def reference_forecast(train: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The reference's quantiles of `rows`, from the training rows that a family is refitted on."""
    train = pd.concat(inner_split(train))
    by_horizon = {
        h: centred_quantiles(z_return, settings.QUANTILE_LEVELS)
        for h, z_return in train.groupby("horizon_days")["z_return"]
    }
    return np.stack([by_horizon[h] for h in rows["horizon_days"]])


def loss(rows: pd.DataFrame, forecast: np.ndarray) -> pd.Series:
    """Mean pinball loss by horizon, at all published levels."""
    each = pinball(rows["z_return"].to_numpy(), forecast, settings.QUANTILE_LEVELS)
    return pd.Series(each).groupby(rows["horizon_days"].to_numpy()).mean()

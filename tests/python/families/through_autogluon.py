"""One family fitted as the tournament does it: on the fit part, then refitted with the tuning part; and its losses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel
from autogluon.features.generators import IdentityFeatureGenerator
from autogluon.tabular import TabularPredictor
from threadpoolctl import threadpool_limits

from zl_forecast import settings
from zl_forecast.families.base import Family
from zl_forecast.families.reference import centred_quantiles
from zl_forecast.scoring import pinball

NOT_SHOWN = ["as_of_date", "target_date", "is_matured"]


@dataclass(frozen=True)
class Fitted:
    """A refitted family."""

    predictor: TabularPredictor
    name: str

    @property
    def model(self) -> AbstractModel:
        return self.predictor._trainer.load_model(self.name)

    def forecast(self, rows: pd.DataFrame) -> np.ndarray:
        """Quantiles of shape (n_rows, n_levels)."""
        return self.predictor.predict(shown(rows), model=self.name).to_numpy()


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """What a family may see of rows."""
    return rows.drop(columns=[*NOT_SHOWN, "z"])


def split(rows: pd.DataFrame, sessions: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training rows whose target is known at session number `sessions`, each horizon's median taken out; rows from then on."""
    start = rows["as_of_date"].unique()[sessions]
    train = rows[rows["is_matured"] & (rows["target_date"] < start)]
    train = train.assign(z=train["z"] - train.groupby("horizon_days")["z"].transform("median"))
    return train, rows[(rows["as_of_date"] >= start) & rows["is_matured"]]


def fit_and_tuning_part(train: pd.DataFrame) -> list[pd.DataFrame]:
    """The newest eighth of the sessions to validate on, and the rows whose target is known before it."""
    dates = train["as_of_date"].unique()
    cut = dates[int(len(dates) * (1 - settings.TUNING_SHARE))]
    return [train[train["target_date"] < cut], train[train["as_of_date"] >= cut]]


def fit(family: Family, train: pd.DataFrame, folder: Path) -> Fitted:
    """Fit, validate on the newest eighth, refit on both parts."""
    parts = fit_and_tuning_part(train)
    predictor = TabularPredictor(
        label="z",
        problem_type="quantile",
        quantile_levels=list(settings.QUANTILE_LEVELS),
        path=str(folder),
        verbosity=0,
        log_to_file=False,
    )
    with threadpool_limits(settings.THREADS_PER_FIT):  # as in a worker; BLAS threads slow small matrices down tenfold
        predictor.fit(
            parts[0].drop(columns=NOT_SHOWN),
            tuning_data=parts[1].drop(columns=NOT_SHOWN),
            hyperparameters={family.model: family.hyperparameters},
            feature_generator=IdentityFeatureGenerator(),
            num_cpus=1,
            num_gpus=0,
            fit_weighted_ensemble=False,
            dynamic_stacking=False,
            calibrate=False,
            raise_on_model_failure=True,
        )
        (name,) = predictor.refit_full("all", set_best_to_refit_full=False, num_cpus=1, num_gpus=0).values()
    return Fitted(predictor, name)


def reference_forecast(train: pd.DataFrame, rows: pd.DataFrame) -> np.ndarray:
    """The reference's quantiles of `rows`, from the training rows that a family is refitted on."""
    train = pd.concat(fit_and_tuning_part(train))
    by_horizon = {h: centred_quantiles(z, settings.QUANTILE_LEVELS) for h, z in train.groupby("horizon_days")["z"]}
    return np.stack([by_horizon[h] for h in rows["horizon_days"]])


def loss(rows: pd.DataFrame, forecast: np.ndarray) -> pd.Series:
    """Mean pinball loss by horizon, at all published levels."""
    each = pinball(rows["z"].to_numpy(), forecast, settings.QUANTILE_LEVELS)
    return pd.Series(each).groupby(rows["horizon_days"].to_numpy()).mean()

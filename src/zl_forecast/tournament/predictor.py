"""AutoGluon as the engine of a bucket's tournament: one `TabularPredictor` per bucket and fold.

The predictor holds all families of the bucket. `fit_family` trains each of them in its own process, which can
be killed. `TabularPredictor.fit` then reads the fitted models from the store. A family that hangs does not
affect the others, and a new family refits no other. Validation scores, leaderboard and WeightedEnsemble_L2 are
AutoGluon's own. The predictor is derived from the models and lives in a temporary folder.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import autogluon.common.utils.utils as autogluon_utils
import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel
from autogluon.core.utils.exceptions import TimeLimitExceeded

from zl_forecast import settings
from zl_forecast.families.base import Family, QuantileModel

if TYPE_CHECKING:  # the import takes two seconds, so functions import it when they need it
    from autogluon.tabular import TabularPredictor

FIT = "fit"  # on the fit part
REFIT = "refit"  # on all training rows, with settings validated on the tuning part
TIMED_OUT = "timed out"
RESOURCES = {"num_cpus": settings.THREADS_PER_FIT, "num_gpus": 0}

# AutoGluon reads the versions of all installed packages whenever it saves a predictor: hundreds of files, 0.6 s per save.
# They do not change during a process, so cache them.
autogluon_utils.get_package_versions = cache(autogluon_utils.get_package_versions)


def fit_family(
    family: Family, fit_rows: pd.DataFrame, tuning_rows: pd.DataFrame, all_rows: pd.DataFrame, folder: Path
) -> dict:
    """Fit a family as AutoGluon does: on the fit part, validated on the tuning part, then refitted on all rows.

    Parameters
    ----------
    family : Family
    fit_rows, tuning_rows, all_rows : DataFrame
        What the family reads, and the standardised return in column z_return. All rows include those that are purged
        between the two parts.
    folder : Path
        Empty folder for both models.

    Returns
    -------
    dict
        fit_seconds: seconds by model ('fit', 'refit').
    """
    model = _model_class(family)(
        path=str(folder),
        name=FIT,
        problem_type="quantile",
        eval_metric="pinball_loss",
        hyperparameters={**family.hyperparameters, "ag_args_fit": {"quantile_levels": list(settings.QUANTILE_LEVELS)}},
    )
    X, y = _split(fit_rows)
    # AutoGluon's trees would stop where the loss on the tuning part is least, which is chance with its few independent samples
    validation = (
        {} if isinstance(family.model, str) else dict(zip(("X_val", "y_val"), _split(tuning_rows), strict=True))
    )
    seconds = {FIT: _fit(model, X=X, y=y, **validation)}
    if model._get_tags()["can_refit_full"]:
        refitted = model.convert_to_refit_full_template()
        refitted.rename(REFIT)
        X, y = _split(all_rows)
        seconds[REFIT] = _fit(refitted, X=X, y=y)
    else:
        refitted = model
    return {"fit_seconds": seconds}


def _fit(model: AbstractModel, **rows) -> float:
    started = time.perf_counter()
    model.fit(**rows, total_resources=dict(RESOURCES), verbosity=0)
    seconds = time.perf_counter() - started
    model.save()
    return seconds


def _split(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    return rows.drop(columns="z_return"), rows["z_return"]


def _model_class(family: Family) -> Callable[..., AbstractModel]:
    if not isinstance(family.model, str):
        return family.model
    from autogluon.tabular.registry import ag_model_registry

    return ag_model_registry.key_to_cls(family.model)


class StoredModel(QuantileModel):
    """AutoGluon model of a family that is already fitted: `_fit` takes the fitted model from the store.

    Hyperparameters: `folder` that `fit_family` wrote, `fit_seconds` as it returned them, and `family`; or
    `failure`, the reason why there is no model. The model itself is not saved with the predictor.
    """

    ag_key = "STORED"
    ag_name = "Stored"

    def _fit(self, X: pd.DataFrame, y: pd.Series, X_val: pd.DataFrame | None = None, **kwargs) -> None:
        params = self._get_model_params()
        if params["failure"] is not None:
            raise TimeLimitExceeded if params["failure"] == TIMED_OUT else RuntimeError(params["failure"])
        seconds = params["fit_seconds"]
        self.model = FIT if X_val is not None or REFIT not in seconds else REFIT
        self.fit_time = seconds[self.model]

    def _estimate_memory_usage(self, X: pd.DataFrame, **kwargs) -> int:
        return 0  # nothing is trained here, and AutoGluon's estimate is slow with many columns

    def _predict_proba(self, X: pd.DataFrame, **kwargs) -> np.ndarray:
        params = self._get_model_params()
        model = _load(_model_class(params["family"]), params["folder"], self.model)
        return model.predict_proba(X[model.features])  # a look-back reaches only the families that read it


def fitted_model(family: Family, folder: Path, facts: dict) -> AbstractModel:
    """Load a family's own model, fitted on all rows.

    Parameters
    ----------
    family : Family
    folder : Path
        Folder that `fit_family` wrote.
    facts : dict
        What `fit_family` returned.

    Returns
    -------
    AbstractModel
    """
    return _load(_model_class(family), str(folder), REFIT if REFIT in facts["fit_seconds"] else FIT)


@cache
def _load(model_class: type[AbstractModel], folder: str, name: str) -> AbstractModel:
    return model_class.load(path=f"{folder}/{name}", verbose=False)


@dataclass(frozen=True)
class FoldPredictor:
    """An AutoGluon predictor with all families of a bucket on one fold.

    Attributes
    ----------
    predictor : TabularPredictor
    refitted : dict
        By family, the name of its model that is fitted on all rows.
    failures : dict
        By family, the reason why it could not be validated.
    """

    predictor: "TabularPredictor"
    refitted: dict[str, str]
    failures: dict[str, str]

    def forecast(self, name: str, rows: pd.DataFrame) -> np.ndarray:
        """Forecast rows with a family's model that is fitted on all rows.

        Parameters
        ----------
        name : str
            Family.
        rows : DataFrame of n_rows rows
            Columns that any of the families reads.

        Returns
        -------
        array of shape (n_rows, n_levels)
            Standardised returns at `settings.QUANTILE_LEVELS`.
        """
        return self.predictor.predict(rows, model=self.refitted[name]).to_numpy(float)

    def validation_losses(self) -> pd.Series:
        """Return the mean pinball loss of each family on the tuning part, before the refit.

        Returns
        -------
        Series
            Standardised returns, by model. A family's name is its model on the fit part.
        """
        return -self.predictor.leaderboard().set_index("model")["score_val"]

    def leaderboard(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return AutoGluon's leaderboard on labelled rows, with its own weighted ensemble of the families.

        Parameters
        ----------
        rows : DataFrame
            Columns that any of the families reads, and the standardised return in column z_return.

        Returns
        -------
        DataFrame
            Best first: model, score_test, score_val (minus pinball losses), fit_time, pred_time_test (seconds).
        """
        board = self.predictor.leaderboard(rows)
        return board[["model", "score_test", "score_val", "fit_time", "pred_time_test"]]


@contextmanager
def fold_predictor(
    families: dict[str, Family],
    models: dict[str, tuple[str, dict]],
    fit_rows: pd.DataFrame,
    tuning_rows: pd.DataFrame,
) -> Iterator[FoldPredictor]:
    """Provide the AutoGluon predictor of fitted families; it is deleted when the context ends.

    Parameters
    ----------
    families : dict of str to Family
    models : dict
        By family: folder that `fit_family` wrote, and what it returned; or "" and its `failure`.
    fit_rows, tuning_rows : DataFrame
        Columns that any of the families reads, and the standardised return in column z_return.

    Yields
    ------
    FoldPredictor
    """
    from autogluon.features.generators import IdentityFeatureGenerator
    from autogluon.tabular import TabularPredictor

    with TemporaryDirectory(prefix="zl-predictor-") as path:
        predictor = TabularPredictor(
            label="z_return",
            problem_type="quantile",
            quantile_levels=list(settings.QUANTILE_LEVELS),
            path=f"{path}/predictor",
            verbosity=0,
            log_to_file=False,
        )
        competitors = [
            {
                "failure": None,
                "family": families[name],
                "folder": folder,
                **facts,
                "ag_args": {"name": name, "name_suffix": ""},
                # counting distinct values is slow with a look-back's hundreds of columns
                "ag_args_fit": {"drop_unique": False},
            }
            for name, (folder, facts) in models.items()
        ]
        predictor.fit(
            fit_rows,
            tuning_data=tuning_rows,
            hyperparameters={StoredModel: competitors},
            feature_generator=IdentityFeatureGenerator(),  # features are numeric already; horizon_days stays as it is
            **RESOURCES,
            dynamic_stacking=False,
            calibrate=False,
            raise_on_no_models_fitted=False,
        )
        failed = predictor.model_failures()
        failures = {row.model: f"{row.exc_type}: {row.exc_str}" for row in failed.itertuples()}
        refitted = (
            predictor.refit_full("all", set_best_to_refit_full=False, **RESOURCES) if predictor.model_names() else {}
        )
        yield FoldPredictor(predictor, refitted, failures)
    _load.cache_clear()

"""One fit of a tournament: one family on one fold of one bucket, fitted and explained through AutoGluon, then scored ahead."""

import json
import shutil
import time
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import autogluon.common.utils.utils as autogluon_utils
import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings
from zl_forecast.families.base import Family
from zl_forecast.tournament.explain import attributions
from zl_forecast.tournament.splits import Fold, inner_split

KEY = ["as_of_date", "horizon_days"]
FORECASTS = "forecasts.parquet"
ATTRIBUTIONS = "attributions.parquet"
TIMED_OUT = "timed_out.json"
MODELS = "models"
# how XGBoost and LightGBM, CatBoost, and PyTorch say it, in errors of their own
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "can't allocate memory")

# A predictor notes the versions of all installed packages whenever it is saved, four times a fit, and reads hundreds of files
# for it: 0.6 s of the 1 s that a small fit took. They do not change while a process lives.
autogluon_utils.get_package_versions = cache(autogluon_utils.get_package_versions)


@dataclass(frozen=True)
class Block:
    """The rows of one fold of one bucket's tournament; the same for every family.

    Attributes
    ----------
    features : tuple of str
    train, test : DataFrame
        Columns as_of_date, horizon_days, target_date, z, the features and `row_hash`, of key and features; in `test` z is not looked at.
    lookback : DataFrame, optional
        families.lookback.lookback_columns of the block's sessions and those before, with `row_hash`, for families that read it.
    keep_models : bool
        Keep the fitted models for rows of the block that are yet to come.
    """

    bucket: str
    fold: Fold
    features: tuple[str, ...]
    train: pd.DataFrame
    test: pd.DataFrame
    lookback: pd.DataFrame | None
    keep_models: bool

    def __str__(self) -> str:
        return f"{self.bucket} {self.fold.kind} {self.fold.start:%Y-%m}"

    def rows(self, part: pd.DataFrame, family: Family) -> pd.DataFrame:
        """What a family sees of `train` or `test`: features, horizon_days and, where it reads one, the look-back."""
        own = part[["horizon_days", *self.features]]
        if not family.reads_lookback:
            return own
        seen = self.lookback.set_index("as_of_date").drop(columns="row_hash").loc[part["as_of_date"]]
        return pd.concat([own, seen.set_axis(part.index)], axis=1)

    def row_hashes(self, part: pd.DataFrame, family: Family) -> np.ndarray:
        """Hash of all that a forecast of each row depends on, array of shape (n_rows,)."""
        hashes = part["row_hash"].to_numpy()
        if family.reads_lookback:
            hashes = hashes * np.uint64(31) + self._session_hashes[part["as_of_date"]].to_numpy()
        return hashes

    @cached_property
    def _session_hashes(self) -> pd.Series:
        """Hash of each session's look-back, by as_of_date."""
        return self.lookback.set_index("as_of_date")["row_hash"]

    @cached_property
    def _train_hash(self) -> str:
        of_rows = fingerprint.of_frame(self.train[["row_hash", "target_date", "z"]])  # purged by target_date
        return fingerprint.combine(of_rows, self.features)

    @cached_property
    def _train_lookback_hash(self) -> str:
        used = self._session_hashes[self.train["as_of_date"].unique()]
        return fingerprint.combine(used.to_numpy().tobytes(), tuple(self.lookback.columns))

    def train_hash(self, family: Family) -> str:
        """Hash of all that a fitted model has learnt from."""
        return self._train_hash + (self._train_lookback_hash if family.reads_lookback else "")


@dataclass(frozen=True)
class Task:
    """One family on one block.

    Attributes
    ----------
    name : str
        Of the family.
    seconds : float
        Limit after which the fit is killed.
    """

    block: Block
    name: str
    family: Family
    seconds: float

    def __str__(self) -> str:
        return f"{self.block} {self.name}"

    @cached_property
    def data_fingerprint(self) -> str:
        """Of the rows that the model learns from."""
        return fingerprint.combine(self.block.train_hash(self.family))

    @cached_property
    def code_fingerprint(self) -> str:
        """Of the family as it is registered and of the code that fits it."""
        model, explain = self.family.model, self.family.explain
        is_own = not isinstance(model, str)
        modules = {own.__module__ for own in (model if is_own else None, explain) if own is not None}
        return fingerprint.combine(
            f"{model.__module__}.{model.__qualname__}" if is_own else model,
            self.family.hyperparameters,
            explain and f"{explain.__module__}.{explain.__qualname__}",
            fingerprint.of_code(__name__, *sorted(modules)),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Of all that the fitted model depends on: rows, family, code, library versions."""
        return fingerprint.combine(
            self.block.bucket,
            self.block.fold.kind,  # in January the live block starts with the year's
            self.block.fold.start,
            self.name,
            self.data_fingerprint,
            self.code_fingerprint,
            fingerprint.library_versions(),
        )

    @cached_property
    def rows_fingerprint(self) -> str:
        """Of the rows that are to be forecast."""
        return fingerprint.combine(self.block.row_hashes(self.block.test, self.family).tobytes())

    @property
    def described(self) -> dict[str, object]:
        """What the registry says of the fit."""
        fold = self.block.fold
        return {
            "bucket": self.block.bucket,
            "family": self.name,
            "kind": fold.kind,
            "fold_start": fold.start.date(),
            "trained_until": fold.train_until.date(),
            "data_fingerprint": self.data_fingerprint,
            "code_fingerprint": self.code_fingerprint,
            "rows_fingerprint": self.rows_fingerprint,
        }

    @property
    def is_explained(self) -> bool:
        return self.block.fold.kind == "live"


def needs_training(task: Task, stored: artifacts.Stored) -> bool:
    """Whether more than scoring is to be done: there are neither forecasts of all rows nor models, and the fit was not given up."""
    folder = stored.folder
    if folder is None:
        return True
    if (folder / TIMED_OUT).exists():
        return _may_take_longer(task, folder)
    if (folder / MODELS).exists():
        return False
    return stored.described.get("rows_fingerprint") != task.rows_fingerprint


def _may_take_longer(task: Task, folder: Path) -> bool:
    """Whether the limit is longer now than that at which the fit was given up."""
    return task.seconds > json.loads((folder / TIMED_OUT).read_text())["seconds"]


def finished(task: Task) -> pd.DataFrame | None:
    """Forecasts of this task from an earlier run, or None where anything is missing."""
    folder = artifacts.find(task.fingerprint)
    if folder is None:
        return None
    if (folder / TIMED_OUT).exists():
        reason = json.loads((folder / TIMED_OUT).read_text())["reason"]
        return None if _may_take_longer(task, folder) else without_forecasts(task, "timed_out", reason)
    stored = pd.read_parquet(folder / FORECASTS)
    wanted = task.block.row_hashes(task.block.test, task.family)
    if not np.isin(wanted, stored["row"].to_numpy()).all():
        return None
    return stored[stored["row"].isin(wanted)].drop(columns="row")


def fit_and_score(task: Task) -> pd.DataFrame:
    """Fit the family, or load it where only new rows are to be scored; store and return the forecasts.

    Returns
    -------
    DataFrame
        One row an as_of_date and horizon_days: family, q05 ... q95 in scaled units, ascending, and the criteria
        fit_seconds, score_seconds, validation_loss, train_rows, status ('ok' or 'failed') and reason. A failure of the machine
        rather than of the family is not stored: the next build tries again.
    """
    folder = artifacts.find(task.fingerprint)
    if folder is not None and not (folder / MODELS).exists():
        folder = None

    def fill(new: Path) -> None:
        if folder is None:
            predictor, facts = _fit(task, new / MODELS)
        else:
            shutil.copytree(folder / MODELS, new / MODELS)
            predictor, facts = _load(new / MODELS)
        forecasts = _score(task, predictor, facts)
        forecasts.to_parquet(new / FORECASTS)
        if task.is_explained and (forecasts["status"] == "ok").all():
            _explain(task, predictor, facts).to_parquet(new / ATTRIBUTIONS)
        (new / MODELS / "facts.json").write_text(json.dumps(facts))
        if not task.block.keep_models:
            shutil.rmtree(new / MODELS)

    try:
        written = artifacts.write(task.fingerprint, fill, **task.described)
    except (_OutOfMeans, MemoryError) as error:
        reason = str(error) if isinstance(error, _OutOfMeans) else f"MemoryError: {error}"
        return without_forecasts(task, "failed", reason)
    return pd.read_parquet(written / FORECASTS).drop(columns="row")


def give_up(task: Task, reason: str) -> None:
    """Store that the fit did not end within its limit, so that not every build waits for it; a longer limit tries again.

    A model that was fitted before and was only to score new rows is kept: the next build tries again.
    """
    folder = artifacts.find(task.fingerprint)
    if folder is not None and (folder / MODELS).exists():
        return
    note = json.dumps({"seconds": task.seconds, "reason": reason})
    artifacts.write(task.fingerprint, lambda folder: (folder / TIMED_OUT).write_text(note), **task.described)


def without_forecasts(task: Task, status: str, reason: str) -> pd.DataFrame:
    """The rows of a task that has no forecasts, with why."""
    frame = task.block.test[KEY].reset_index(drop=True).reindex(columns=[*KEY, *settings.QUANTILE_COLUMNS])
    return frame.assign(
        family=task.name,
        train_rows=len(task.block.train),
        fit_seconds=float("nan"),
        score_seconds=float("nan"),
        validation_loss=float("nan"),
        status=status,
        reason=reason,
    )


def without_drift(train: pd.DataFrame) -> pd.DataFrame:
    """Training rows with each horizon's median taken out of z: a family must earn every move away from the last price."""
    return train.assign(z=train["z"] - train.groupby("horizon_days")["z"].transform("median"))


class _OutOfMeans(Exception):
    """Memory or disk did not suffice."""


def _is_out_of_means(error: Exception) -> bool:
    from autogluon.core.utils.exceptions import NotEnoughMemoryError

    is_told = any(words in str(error) for words in OUT_OF_MEMORY)
    return is_told or isinstance(error, (MemoryError, NotEnoughMemoryError, OSError))


def _fit(task: Task, path: Path):
    """Fit on the fit part, validate on the newest part, refit on both with what was learnt."""
    from autogluon.features.generators import IdentityFeatureGenerator
    from autogluon.tabular import TabularPredictor

    predictor = TabularPredictor(
        label="z",
        problem_type="quantile",
        quantile_levels=list(settings.QUANTILE_LEVELS),
        path=str(path),
        verbosity=0,
        log_to_file=False,
    )
    fit_part, tuning_part = inner_split(without_drift(task.block.train))
    if fit_part.empty:
        return predictor, _facts(
            None, float("nan"), float("nan"), "failed", "too few training rows to validate on some"
        )
    fit_rows, tuning_rows = (task.block.rows(part, task.family).assign(z=part["z"]) for part in (fit_part, tuning_part))
    own = {**task.family.hyperparameters, "ag_args": {"name": task.name, "name_suffix": ""}}
    budget = {"num_cpus": settings.THREADS_PER_FIT, "num_gpus": 0}
    started = time.perf_counter()
    try:
        predictor.fit(
            fit_rows,
            tuning_data=tuning_rows,
            hyperparameters={task.family.model: own},
            feature_generator=IdentityFeatureGenerator(),  # SQL made the features: all are numbers, horizon_days stays as it is
            **budget,
            fit_weighted_ensemble=False,
            dynamic_stacking=False,
            calibrate=False,
            raise_on_model_failure=True,  # else AutoGluon goes on without it, and a failed refit has no reason
        )
        validation_loss = -float(predictor.leaderboard().set_index("model").loc[task.name, "score_val"])
        refitted = predictor.refit_full("all", set_best_to_refit_full=False, **budget)[task.name]
    except Exception as error:  # one family less must not stop the bucket; its rows say why
        if _is_out_of_means(error):
            raise _OutOfMeans(f"{type(error).__name__}: {error}") from error
        return predictor, _facts(None, float("nan"), float("nan"), "failed", f"{type(error).__name__}: {error}")
    seconds = time.perf_counter() - started
    predictor.save_space()  # the training rows; they are not needed again
    return predictor, _facts(refitted, seconds, validation_loss, "ok", "")


def _facts(model: str | None, fit_seconds: float, validation_loss: float, status: str, reason: str) -> dict:
    """What is stored beside a fitted model."""
    return {
        "model": model,
        "fit_seconds": fit_seconds,
        "validation_loss": validation_loss,
        "status": status,
        "reason": reason,
    }


def _load(path: Path):
    from autogluon.tabular import TabularPredictor

    facts = json.loads((path / "facts.json").read_text())
    return (None if facts["model"] is None else TabularPredictor.load(str(path), verbosity=0)), facts


def _score(task: Task, predictor, facts: dict) -> pd.DataFrame:
    """Forecasts for the test rows; a family that failed keeps its rows, without quantiles.

    score_seconds is the time of the newest session's rows alone, which is what a day costs.
    """
    test = task.block.test
    label = {key: facts[key] for key in ("fit_seconds", "validation_loss", "status", "reason")}
    values = np.full((len(test), len(settings.QUANTILE_LEVELS)), np.nan)
    seconds = float("nan")
    if facts["model"] is not None:
        rows = task.block.rows(test, task.family)
        newest = rows[(test["as_of_date"] == test["as_of_date"].max()).to_numpy()]
        try:
            values = predictor.predict(rows, model=facts["model"]).to_numpy(float)
            started = time.perf_counter()
            predictor.predict(newest, model=facts["model"])
            seconds = time.perf_counter() - started
        except Exception as error:  # one family less must not stop the bucket; the row says why
            if _is_out_of_means(error):
                raise _OutOfMeans(f"{type(error).__name__}: {error}") from error
            label |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
            values = np.full_like(values, np.nan)
    lost = int((~np.isfinite(values)).any(axis=1).sum())
    if label["status"] == "ok" and lost:
        label |= {"status": "failed", "reason": f"{lost} of {len(test)} rows without a finite forecast"}
        values = np.full_like(values, np.nan)
    frame = test[KEY].reset_index(drop=True)
    frame[list(settings.QUANTILE_COLUMNS)] = np.sort(values, axis=1)  # families with a booster a level may cross
    return frame.assign(
        row=task.block.row_hashes(test, task.family),
        family=task.name,
        train_rows=len(task.block.train),
        score_seconds=seconds,
        **label,
    )


def _explain(task: Task, predictor, facts: dict) -> pd.DataFrame:
    """Attributions over the newest sessions (settings.EXPLAINED_SESSIONS), training rows and the block's, and for the newest session alone."""
    block = task.block
    rows = pd.concat([block.train, block.test]).drop_duplicates(KEY).sort_values(KEY)
    rows = rows[rows["as_of_date"] >= np.sort(rows["as_of_date"].unique())[-settings.EXPLAINED_SESSIONS :][0]]
    rows = rows.reset_index(drop=True)
    model = predictor._trainer.load_model(facts["model"])  # AutoGluon's tutorials reach a fitted model this way
    X = block.rows(rows, task.family)
    try:
        return attributions(task.family, model, rows[KEY], X)
    except Exception as error:  # its forecasts stand all the same, and what moves them can be seen from outside
        print(
            f"{task}: explained by permutation, its own explanation failed. {type(error).__name__}: {error}", flush=True
        )
        return attributions(replace(task.family, explain=None), model, rows[KEY], X)

"""One fold of one bucket's tournament: every enrolled family fitted by AutoGluon on the same rows, then scored ahead."""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zl_forecast import artifacts, fingerprint, settings
from zl_forecast.tournament.splits import Fold, inner_split

KEY = ["as_of_date", "horizon_days"]
FORECASTS = "forecasts.parquet"
MODELS = "models"


@dataclass(frozen=True)
class Task:
    """What a worker needs for one fold.

    Attributes
    ----------
    train, test : DataFrame
        Columns as_of_date, horizon_days, target_date, z and the features; in `test` z is not looked at.
    keep_models : bool
        Keep the fitted models for rows of the block that are yet to come.
    """

    bucket: str
    fold: Fold
    families: tuple[str, ...]
    features: tuple[str, ...]
    train: pd.DataFrame
    test: pd.DataFrame
    keep_models: bool

    def __str__(self) -> str:
        return f"{self.bucket} {self.fold.kind} {self.fold.start:%Y-%m}"

    @property
    def name(self) -> str:
        """Fingerprint of all that the fitted models depend on: rows, features, families, code, library versions."""
        return fingerprint.combine(
            self.bucket,
            self.fold.kind,  # in January the live block starts with the year's
            self.fold.start,
            self.families,
            fingerprint.of_frame(self.train[[*KEY, *self.features, "z"]]),
            fingerprint.of_code("families", "tournament"),
            fingerprint.library_versions(),
        )


def finished(task: Task) -> pd.DataFrame | None:
    """Forecasts of this task from an earlier run, or None where anything is missing."""
    folder = artifacts.find(task.name)
    if folder is None:
        return None
    stored = pd.read_parquet(folder / FORECASTS)
    wanted = pd.DataFrame({"row": fingerprint.row_hashes(task.test[[*KEY, *task.features]])})
    if not wanted["row"].isin(stored["row"]).all():
        return None
    return stored[stored["row"].isin(wanted["row"])].drop(columns="row")


def fit_and_score(task: Task) -> pd.DataFrame:
    """Fit the families of a task, or load them where only new rows are to be scored; store and return the forecasts.

    Returns
    -------
    DataFrame
        One row a family, as_of_date and horizon_days: q05 ... q95 in scaled units, ascending, and the criteria
        fit_seconds, score_seconds, train_rows, status ('ok' or 'failed') and reason.
    """
    folder = artifacts.find(task.name)
    if folder is not None and (folder / MODELS).exists():
        predictor = _load(folder / MODELS)
        facts = json.loads((folder / MODELS / "facts.json").read_text())
    else:
        folder, predictor, facts = None, None, {}

    def fill(new: Path) -> None:
        nonlocal predictor, facts
        if predictor is None:
            predictor, facts = _fit(task, new / MODELS)
        else:
            shutil.copytree(folder / MODELS, new / MODELS)
        forecasts = _score(task, predictor, facts)
        forecasts.to_parquet(new / FORECASTS)
        (new / MODELS / "facts.json").write_text(json.dumps(facts))
        if not task.keep_models:
            shutil.rmtree(new / MODELS)

    written = artifacts.write(task.name, fill)
    return pd.read_parquet(written / FORECASTS).drop(columns="row")


def without_drift(train: pd.DataFrame) -> pd.DataFrame:
    """Training rows with each horizon's median taken out of z: a family must earn every move away from the last price."""
    return train.assign(z=train["z"] - train.groupby("horizon_days")["z"].transform("median"))


def _fit(task: Task, path: Path):
    """Fit every family on the fit part, validate on the newest part, refit on both with what was learnt."""
    from autogluon.tabular import TabularPredictor

    from zl_forecast.families import FAMILIES

    predictor = TabularPredictor(
        label="z",
        problem_type="quantile",
        quantile_levels=list(settings.QUANTILE_LEVELS),
        path=str(path),
        verbosity=0,
        log_to_file=False,
    )
    columns = [*task.features, "horizon_days", "z"]
    fit_part, tuning_part = inner_split(without_drift(task.train))
    hyperparameters = {}
    for name in task.families:  # a list a model, since two families may share one
        own = {**FAMILIES[name].hyperparameters, "ag_args": {"name": name, "name_suffix": ""}}
        hyperparameters.setdefault(FAMILIES[name].model, []).append(own)
    predictor.fit(
        fit_part[columns],
        tuning_data=tuning_part[columns],
        hyperparameters=hyperparameters,
        num_cpus=settings.THREADS_PER_FIT,
        num_gpus=0,
        time_limit=settings.FIT_TIME_LIMIT_SECONDS,
        fit_weighted_ensemble=False,
        dynamic_stacking=False,
        calibrate=False,
        raise_on_no_models_fitted=False,
        raise_on_model_failure=False,
    )
    fitted = predictor.model_names()
    budget = {"num_cpus": settings.THREADS_PER_FIT, "num_gpus": 0}
    refitted = predictor.refit_full("all", set_best_to_refit_full=False, **budget) if fitted else {}
    failures = predictor.model_failures()
    facts = {}
    for name in task.families:
        if name in refitted:
            info = predictor.model_info(name)
            facts[name] = {
                "model": refitted[name],
                "fit_seconds": float(info["fit_time"]),
                "status": "ok",
                "reason": "",
            }
        else:
            why = failures.loc[failures["model"] == name, "exc_str"] if len(failures) else []
            reason = str(why.iloc[0]) if len(why) else "AutoGluon did not fit it and gave no reason"
            facts[name] = {"model": None, "fit_seconds": float("nan"), "status": "failed", "reason": reason}
    return predictor, facts


def _load(path: Path):
    from autogluon.tabular import TabularPredictor

    return TabularPredictor.load(str(path), verbosity=0)


def _score(task: Task, predictor, facts: dict) -> pd.DataFrame:
    """Forecasts of every family for the test rows; a family that failed keeps its rows, without quantiles.

    score_seconds is the time of one session's rows, which is what a day costs.
    """
    rows = fingerprint.row_hashes(task.test[[*KEY, *task.features]])
    quantiles, labels = [], []
    for name in task.families:
        label = {key: facts[name][key] for key in ("fit_seconds", "status", "reason")}
        values = np.full((len(rows), len(settings.QUANTILE_LEVELS)), np.nan)
        started = time.perf_counter()
        if facts[name]["model"] is not None:
            try:
                values = predictor.predict(
                    task.test[[*task.features, "horizon_days"]], model=facts[name]["model"]
                ).to_numpy()
            except Exception as error:  # one family less must not stop the bucket; the row says why
                label |= {"status": "failed", "reason": f"{type(error).__name__}: {error}"}
        lost = int((~np.isfinite(values)).any(axis=1).sum())
        if label["status"] == "ok" and lost:
            label |= {"status": "failed", "reason": f"{lost} of {len(rows)} rows without a finite forecast"}
            values = np.full_like(values, np.nan)
        quantiles.append(np.sort(values, axis=1))  # families with a booster a level may cross
        seconds = (time.perf_counter() - started) / task.test["as_of_date"].nunique()
        labels.append({"family": name, "score_seconds": seconds, **label})
    n = len(task.families)
    forecasts = pd.concat([task.test[KEY]] * n, ignore_index=True)
    forecasts[list(settings.QUANTILE_COLUMNS)] = np.concatenate(quantiles)
    forecasts["row"] = np.tile(rows, n)
    forecasts["train_rows"] = len(task.train)
    return forecasts.join(pd.DataFrame(labels).loc[np.repeat(np.arange(n), len(rows))].reset_index(drop=True))

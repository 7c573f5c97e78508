"""The runner trains competitors on folds and lets them forecast; a failing competitor does not affect the others.

Bucket families, core models and ensemble methods are all competitors. A `Contest` is one subject (a bucket,
'core', 'ensemble') on one fold. `run` takes contests and returns one table:

1. Read the forecasts that the store has under the competitor's key. A row is a cache hit if nothing it depends
   on has changed. The out-of-fold folds are read as one table, which a new session does not change.
2. Train the competitors without a fitted model, each in a process that is killed at its time limit. The model
   goes into the store.
3. When the last fit of a contest has ended, one process forecasts with the models of all its competitors. If it
   dies, each competitor is retried in its own process.

Policy for failures: a competitor that raises has status `failed`, which is cached until its key changes. One
that exceeds its limit has `timed_out`, which is cached until its limit is raised. A process that was killed, or
that ran out of memory or disk space, has `failed` too, but the next build retries it. A forecast that is not
finite fails in its own row only.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from zl_forecast import workers
from zl_forecast.store import artifacts, fingerprint, read_table, write_table
from zl_forecast.tournament.contest import KEY, QUANTILES, Competitor, Contest, Failure, Forecasts, Model

COLUMNS = {
    "subject": "object",
    "competitor": "object",
    "fold_type": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "as_of_date": "datetime64[us]",
    "horizon_days": "int32",
    **dict.fromkeys(QUANTILES, "float64"),
    "train_rows": "float64",
    "fit_seconds": "float64",
    "score_seconds": "float64",
    "validation_loss": "float64",
    "status": "object",
    "reason": "object",
    "artifact_id": "object",
}
MODEL = "model"  # folder that `Contest.train` filled
FACTS = "facts.json"
FORECASTS = "forecasts.parquet"
FAILURE = "failure.json"
NOT_ALLOWED = "not in the store, and var tournament is never"

Result: TypeAlias = pd.DataFrame | Failure  # outcome of a competitor


def run(contests: Sequence[Contest], may_train: bool = True, executor: str = "local") -> pd.DataFrame:
    """Run contests: forecasts of all competitors on all folds.

    Parameters
    ----------
    contests : sequence of Contest
        Folds in any order; the result lists the out-of-fold folds before the live fold.
    may_train : bool
        Whether models that are not in the store may be trained.
    executor : str
        See `workers.run`.

    Returns
    -------
    DataFrame
        Columns `COLUMNS` and those that the contests add; one row per competitor, fold, as_of_date and
        horizon_days. Quantiles are standardised returns, ascending; NaN if the status is not 'ok'.
    """
    if not contests:
        return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in COLUMNS.items()})
    history = [contest for contest in contests if contest.fold.fold_type != "live"]
    live = [contest for contest in contests if contest.fold.fold_type == "live"]
    key = key_of_run(history)
    past = read_table(key) if history else None
    todo = [*history, *live] if past is None else live
    results = _results(todo, may_train, executor)
    tables = [_labelled(contest, own, results[own.key]) for contest in todo for own in contest.competitors()]
    table = pd.concat(tables if past is None else [past, *tables], ignore_index=True).astype(COLUMNS)
    table = table[[*COLUMNS, *table.columns.difference(COLUMNS, sort=False)]]
    if history and past is None:
        ended = [results[own.key] for contest in history for own in contest.competitors()]
        if all(result.is_final for result in ended if isinstance(result, Failure)):
            write_table(key, table[table["fold_type"] != "live"])
    return table


def _results(contests: Sequence[Contest], may_train: bool, executor: str) -> dict[str, Result]:
    """Return the outcome of each competitor by its key. A fold is forecast as soon as its last fit has ended."""
    results: dict[str, Result] = {}
    jobs: list[_Job] = []  # grows during the loop
    fits_left: dict[int, int] = {}  # by contest

    def forecast(contest: Contest) -> None:
        if left := tuple(own for own in contest.competitors() if own.key not in results):
            jobs.append(_Job(_forecast, contest, left))

    for contest in contests:
        fits = []
        for own in contest.competitors():
            if (found := _finished(own)) is not None:
                results[own.key] = found
            elif needs_training(own):
                if may_train:
                    fits.append(_Job(_train, contest, (own,)))
                else:
                    results[own.key] = Failure("skipped", NOT_ALLOWED, is_final=False)
        fits_left[id(contest)] = len(fits)
        jobs += fits
        if not fits:
            forecast(contest)

    for job, result in workers.run(_do, jobs, lambda job: job.time_limit, executor):
        failure = _failure_of_process(result) if isinstance(result, workers.Lost) else result
        if job.step is _train:
            (own,) = job.competitors
            if failure := _recorded(own, failure):
                results[own.key] = failure
            fits_left[id(job.contest)] -= 1
            if not fits_left[id(job.contest)]:
                forecast(job.contest)
        elif isinstance(result, dict):
            results |= result
        elif len(job.competitors) > 1:  # retry each one alone that has not finished
            results |= {own.key: found for own in job.competitors if (found := _finished(own)) is not None}
            left = [own for own in job.competitors if own.key not in results]
            jobs += [_Job(_forecast, job.contest, (own,), is_alone=True) for own in left]
        else:
            (own,) = job.competitors
            results[own.key] = _forecast_failed(job.contest, own, failure)
    return results


def key_of_run(contests: Sequence[Contest]) -> str:
    """Return the fingerprint of everything that the table of `run` depends on.

    Parameters
    ----------
    contests : sequence of Contest

    Returns
    -------
    str
    """
    every = [own for contest in contests for own in contest.competitors()]
    return fingerprint.combine(
        "run",
        [(own.name, own.key, fingerprint.of_array(own.row_hashes), own.skipped, own.time_limit) for own in every],
        fingerprint.of_code(__name__),
    )


def needs_training(own: Competitor, stored: artifacts.Stored | None = None) -> bool:
    """Return whether a model must be fitted before a competitor can forecast all of its rows.

    Parameters
    ----------
    own : Competitor
    stored : Stored, optional
        Result of `artifacts.look_up` for its key, if known already.

    Returns
    -------
    bool
    """
    if own.skipped:
        return False
    folder = (stored or artifacts.look_up(own.key)).folder
    if folder is None:
        return True
    if failure := _failure_in(folder, own):
        return not failure.is_final
    return not (folder / MODEL).exists() and not _has_all_rows(folder, own)


def _has_all_rows(folder: Path, own: Competitor) -> bool:
    if not (folder / FORECASTS).exists():
        return False
    known = pd.read_parquet(folder / FORECASTS, columns=["row"])["row"]
    return bool(np.isin(own.row_hashes, known.to_numpy()).all())


def _failure_in(folder: Path, own: Competitor) -> Failure | None:
    """Read a recorded failure; a timeout is not final if the time limit has been raised."""
    if not (folder / FAILURE).exists():
        return None
    record = json.loads((folder / FAILURE).read_text())
    limit = record.pop("time_limit")
    is_final = record["status"] != "timed_out" or own.time_limit is None or own.time_limit <= limit
    return Failure(**record, is_final=is_final)


def _finished(own: Competitor) -> Result | None:
    """Return the stored outcome of a competitor, or None if anything must be computed."""
    if own.skipped:
        return Failure("skipped", own.skipped)
    folder = artifacts.find(own.key)
    if folder is None:
        return None
    if failure := _failure_in(folder, own):
        return failure if failure.is_final else None
    if not _has_all_rows(folder, own):
        return None
    known = pd.read_parquet(folder / FORECASTS).drop_duplicates("row").set_index("row")
    return known.loc[own.row_hashes].reset_index(drop=True)


@dataclass(frozen=True)
class _Job:
    """Some competitors of a contest: one to train, or those that forecast.

    Attributes
    ----------
    step : callable
        `_train` or `_forecast`.
    is_alone : bool
        Whether only the competitor's own model may be loaded.
    """

    step: Callable[["_Job"], Any]
    contest: Contest
    competitors: tuple[Competitor, ...]
    is_alone: bool = False

    def __str__(self) -> str:
        return f"{self.contest} {' '.join(own.name for own in self.competitors)}"

    @property
    def time_limit(self) -> float | None:
        limits = [own.time_limit for own in self.competitors if own.time_limit is not None]
        return sum(limits) if len(limits) == len(self.competitors) else None


def _do(job: _Job) -> Any:
    return job.step(job)


def _train(job: _Job) -> Failure | None:
    """Fit a competitor and store its model; return the failure if there is one."""
    (own,) = job.competitors

    def fill(folder: Path) -> None:
        (folder / MODEL).mkdir()
        facts = job.contest.train(own.name, folder / MODEL)
        (folder / FACTS).write_text(json.dumps(facts))

    try:
        artifacts.write(own.key, fill, **own.described)
    except Exception as error:  # a failing competitor does not stop the build; its rows record the reason
        return Failure.of(error)
    return None


def _failure_of_process(lost: workers.Lost) -> Failure:
    """Convert a lost process into a failure: a timeout is final, a killed process is retried by the next build."""
    return Failure(lost.status, lost.reason, is_final=lost.status == "timed_out")


def _recorded(own: Competitor, failure: Failure | None) -> Failure | None:
    """Return the failure; store it if it is final, so that later builds do not repeat it."""
    if failure is not None and failure.is_final:
        record = {"status": failure.status, "reason": failure.reason, "time_limit": own.time_limit}
        text = json.dumps(record)
        artifacts.write(own.key, lambda folder: (folder / FAILURE).write_text(text), **own.described)
    return failure


def _forecast(job: _Job) -> dict[str, Result] | Failure:
    """Forecast with the models of a contest and store the forecasts of the job's competitors, or return the failure."""
    wanted = {own.name: own for own in job.competitors}
    models = {}
    for own in job.competitors if job.is_alone else job.contest.competitors():
        folder = None if own.skipped else artifacts.find(own.key)
        if folder is not None and (folder / MODEL).exists():
            models[own.name] = Model(folder / MODEL, json.loads((folder / FACTS).read_text()))
    results: dict[str, Result] = {}
    try:
        for forecasts in job.contest.forecast(models):
            if forecasts.name in wanted:
                own = wanted[forecasts.name]
                results[own.key] = _kept(job.contest, own, forecasts, models[own.name])
    except Exception as error:  # memory or disk failed in work that all competitors share
        return Failure.of(error)
    lost = Failure("failed", "its model is not in the store", is_final=False)
    return {own.key: results.get(own.key, lost) for own in job.competitors}


def _kept(contest: Contest, own: Competitor, forecasts: Forecasts, model: Model) -> Result:
    """Store the forecasts of a competitor; keep its model only if the fold will get more rows."""
    if isinstance(forecasts.table, Failure):
        return _forecast_failed(contest, own, forecasts.table)
    table = contest.rows[KEY].reset_index(drop=True).join(_checked(forecasts.table.reset_index(drop=True)))

    def fill(folder: Path) -> None:
        table.assign(row=own.row_hashes).to_parquet(folder / FORECASTS)
        for name, extra in forecasts.files.items():
            extra.to_parquet(folder / name)
        if contest.keeps_models:
            shutil.copytree(model.folder, folder / MODEL)
            (folder / FACTS).write_text(json.dumps(model.facts))

    artifacts.write(own.key, fill, **own.described)
    return table


def _forecast_failed(contest: Contest, own: Competitor, failure: Failure) -> Failure:
    """Record the failure, unless the model is kept for later rows and will be tried again."""
    if not contest.keeps_models:
        _recorded(own, failure)
    return failure


def _checked(table: pd.DataFrame) -> pd.DataFrame:
    """Sort the quantiles (separate boosters per level may cross); rows that are not finite fail."""
    table = table.assign(**{name: table.get(name, default) for name, default in (("status", "ok"), ("reason", ""))})
    values = np.sort(table[QUANTILES].to_numpy(float), axis=1)
    is_lost = ~np.isfinite(values).all(axis=1) & (table["status"] == "ok").to_numpy()
    values[is_lost] = np.nan
    table[QUANTILES] = values
    table.loc[is_lost, ["status", "reason"]] = ["failed", "its forecast is not finite"]
    return table


def _labelled(contest: Contest, own: Competitor, result: Result) -> pd.DataFrame:
    """Return the rows of a competitor in the columns of the table; status and reason only, if it failed."""
    if isinstance(result, Failure):
        table = contest.rows[KEY].reset_index(drop=True).assign(status=result.status, reason=result.reason)
    else:
        table = result
    fold = contest.fold
    return table.reindex(columns=list(dict.fromkeys([*COLUMNS, *table.columns]))).assign(
        subject=contest.subject,
        competitor=own.name,
        fold_type=fold.fold_type,
        fold_start=fold.start,
        trained_until=fold.train_until,
        train_rows=contest.train_rows,
        artifact_id=own.key,
    )

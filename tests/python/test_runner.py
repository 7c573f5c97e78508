"""The runner's policy: a failure affects only its competitor, and nothing is computed twice without a reason."""

import os
import shutil
import signal
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zl_forecast import workers
from zl_forecast.store import artifacts, fingerprint
from zl_forecast.tournament.contest import QUANTILES, Competitor, Contest, Failure, Forecasts
from zl_forecast.tournament.runner import COLUMNS, FORECASTS, MODEL, NOT_ALLOWED, run
from zl_forecast.tournament.splits import Fold

START = pd.Timestamp("2020-01-01")
FOLD = Fold(START, START + pd.DateOffset(years=1), "oof", pd.Timestamp("2019-12-24"))
OUT_OF_MEANS = {
    "memory": MemoryError("no room"),
    "disk": OSError(28, "No space left on device"),
    "a booster's memory": RuntimeError("XGBoostError: std::bad_alloc"),
}


class Killed(BaseException):
    """Simulates the death of a process."""


class Endless(BaseException):
    """Simulates a timeout."""


def _dies():
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Toy(Contest):
    """Competitors that forecast a line, or behave as `trains` or `forecasts` says.

    Attributes
    ----------
    diary : Path
        One line per training and per forecast, from any process.
    n_rows : int
    trains, forecasts : dict
        By name, a function that is called first, or an exception that is raised.
    together : Exception, optional
        Raised by `forecast` if it gets several models.
    """

    diary: Path
    names: tuple[str, ...] = ("a", "b", "c")
    n_rows: int = 3
    trains: dict = field(default_factory=dict)
    forecasts: dict = field(default_factory=dict)
    together: Exception | None = None
    limit: float | None = None
    skipped: str = ""
    keeps_models: bool = True
    subject: str = "toy"
    fold: Fold = FOLD
    train_rows: int = 7

    @property
    def rows(self) -> pd.DataFrame:
        return pd.DataFrame({"as_of_date": pd.date_range(START, periods=self.n_rows), "horizon_days": 5})

    def competitors(self) -> list[Competitor]:
        hashes = np.arange(self.n_rows, dtype=np.uint64)
        return [
            Competitor(name, fingerprint.combine(self.subject, self.fold, name), hashes, self.limit, self.skipped)
            for name in self.names
        ]

    def train(self, name: str, folder: Path) -> dict:
        self._begin(f"train {name}", self.trains.get(name))
        (folder / "level").write_text(str(self.names.index(name)))
        return {"fit_seconds": 1.0}

    def forecast(self, models):
        self._begin(f"forecast {' '.join(models)}", self.together if len(models) > 1 else None)
        for name, model in models.items():
            try:
                self._begin("", self.forecasts.get(name))
            except Exception as error:
                yield Forecasts(name, Failure.of(error))
                continue
            values = float((model.folder / "level").read_text()) + np.linspace(1, -1, len(QUANTILES))
            yield Forecasts(
                name, pd.DataFrame([values] * self.n_rows, columns=QUANTILES).assign(extra=name, **model.facts)
            )

    def _begin(self, line: str, deed) -> None:
        if line:
            with self.diary.open("a") as stream:
                stream.write(f"{line}\n")
        if isinstance(deed, BaseException):
            raise deed
        if deed is not None:
            deed()


@pytest.fixture(autouse=True)
def store(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))


def _here(work, tasks, limit, executor):
    """Run `workers.run` in this process."""
    for task in tasks:
        try:
            result = work(task)
        except Killed:
            result = workers.died("exit code -9")
        except Endless:
            result = workers.timed_out(limit(task))
        yield task, result


@pytest.fixture
def toy(monkeypatch, tmp_path) -> Toy:
    """Three valid competitors, run in this process."""
    monkeypatch.setattr(workers, "run", _here)
    return Toy(tmp_path / "diary")


@dataclass(frozen=True)
class Done:
    """Outcome of a run: status and reason of each competitor (joined over rows), and the jobs that ran."""

    status: dict[str, str]
    reason: dict[str, str]
    lines: list[str]


def _run(contest: Toy, **kwargs) -> Done:
    contest.diary.write_text("")
    table = run([contest], **kwargs)
    assert len(table) == len(contest.names) * contest.n_rows
    assert (table["status"] == "ok").equals(table[QUANTILES].notna().all(axis=1))
    status, reason = (
        table.groupby("competitor", sort=False)[name].agg(lambda rows: "; ".join(dict.fromkeys(rows))).to_dict()
        for name in ("status", "reason")
    )
    return Done(status, reason, contest.diary.read_text().splitlines())


OK = {"a": "ok", "b": "ok", "c": "ok"}
B_FAILED = {**OK, "b": "failed"}
TRAIN_ALL = ["train a", "train b", "train c"]


# ---------- results and caching


def test_the_table_has_a_row_per_contest_competitor_and_row_with_quantiles_in_order(toy):
    other = replace(toy, subject="other", names=("a",), n_rows=2)
    table = run([toy, other])
    assert list(table.columns) == [*COLUMNS, "extra"]
    assert table.groupby(["subject", "competitor"], sort=False).size().to_dict() == {
        ("toy", "a"): 3, ("toy", "b"): 3, ("toy", "c"): 3, ("other", "a"): 2,
    }  # fmt: skip
    b = table[(table["subject"] == "toy") & (table["competitor"] == "b")]
    np.testing.assert_allclose(b[QUANTILES], [1 + np.linspace(-1, 1, len(QUANTILES))] * 3)
    expected = toy.rows.assign(
        fold_type="oof", fold_start=START, trained_until=FOLD.train_until, train_rows=7.0, fit_seconds=1.0, extra="b"
    )
    pd.testing.assert_frame_equal(b[expected.columns].reset_index(drop=True), expected, check_dtype=False)


def test_without_contests_the_table_is_empty_and_has_its_columns():
    assert {name: str(dtype) for name, dtype in run([]).dtypes.items()} == COLUMNS


def test_a_second_run_computes_nothing_and_returns_the_same(toy):
    table = run([toy])
    toy.diary.write_text("")
    pd.testing.assert_frame_equal(run([toy]), table)
    assert toy.diary.read_text() == ""
    beside = run([toy, replace(toy, subject="other")])
    pd.testing.assert_frame_equal(beside[beside["subject"] == "toy"], table)
    assert toy.diary.read_text().splitlines() == [*TRAIN_ALL, "forecast a b c"]  # of the other contest


def test_new_rows_are_forecast_with_the_models_in_the_store(toy):
    _run(toy)
    grown = _run(replace(toy, n_rows=4))
    assert (grown.status, grown.lines) == (OK, ["forecast a b c"])
    assert _run(replace(toy, n_rows=2)).lines == []


def test_only_a_new_competitor_is_trained_and_all_forecast_together(toy):
    _run(replace(toy, names=("a", "b")))
    assert _run(toy).lines == ["train c", "forecast a b c"]


@pytest.mark.parametrize("keeps_models", [True, False])
def test_models_are_kept_only_for_folds_that_will_get_more_rows(toy, keeps_models):
    contest = replace(toy, keeps_models=keeps_models)
    _run(contest)
    assert [(artifacts.find(own.key) / MODEL).exists() for own in contest.competitors()] == [keeps_models] * 3
    assert _run(replace(contest, n_rows=4)).lines == [*([] if keeps_models else TRAIN_ALL), "forecast a b c"]


def test_a_skipped_competitor_is_not_trained_and_has_a_reason(toy):
    done = _run(replace(toy, skipped="nothing had matured"))
    assert done == Done(dict.fromkeys(OK, "skipped"), dict.fromkeys(OK, "nothing had matured"), [])


def test_an_interrupted_training_leaves_no_folder(toy):
    with pytest.raises(KeyboardInterrupt):
        run([replace(toy, trains={"a": KeyboardInterrupt()})])
    assert not any(path.is_dir() for path in artifacts.artifacts_dir().iterdir())
    assert _run(toy).lines == [*TRAIN_ALL, "forecast a b c"]


def test_models_that_may_not_be_trained_are_skipped_and_not_cached(toy):
    _run(replace(toy, names=("a", "b")))
    grown = replace(toy, n_rows=4)
    never = _run(grown, may_train=False)
    assert never.status == {"a": "ok", "b": "ok", "c": "skipped"}
    assert never.reason["c"] == NOT_ALLOWED
    assert never.lines == ["forecast a b"]
    allowed = _run(grown)
    assert (allowed.status, allowed.lines) == (OK, ["train c", "forecast a b c"])


def test_a_fold_is_forecast_as_soon_as_its_last_fit_has_ended(toy, monkeypatch):
    def newest_first(work, tasks, limit, executor):
        done = set()
        while left := set(range(len(tasks))) - done:
            done.add(max(left))
            yield tasks[max(left)], work(tasks[max(left)])

    monkeypatch.setattr(workers, "run", newest_first)
    table = run([toy, replace(toy, subject="other")])
    assert toy.diary.read_text().splitlines() == [*TRAIN_ALL[::-1], "forecast a b c"] * 2
    assert table["subject"].drop_duplicates().tolist() == ["toy", "other"]


LIVE = replace(FOLD, fold_type="live")


def test_the_history_is_read_as_one_table_for_a_new_session(toy):
    table = run([toy, replace(toy, fold=LIVE)])
    for own in toy.competitors():  # so that a look-up would require training
        shutil.rmtree(artifacts.find(own.key))
    toy.diary.write_text("")
    grown = run([toy, replace(toy, fold=LIVE, n_rows=4)])
    assert toy.diary.read_text().splitlines() == ["forecast a b c"]
    assert grown.dtypes.equals(table.dtypes)
    pd.testing.assert_frame_equal(grown[grown["fold_type"] == "oof"], table[table["fold_type"] == "oof"])
    assert (grown["fold_type"] == "live").sum() == 12


@pytest.mark.parametrize(("fold_type", "lines"), [("oof", [*TRAIN_ALL, "forecast a b c"]), ("live", [])])
def test_the_table_of_the_history_is_cached_unless_a_failure_will_be_retried(toy, fold_type, lines):
    run(
        [
            replace(toy, fold=fold, trains={"b": Killed()} if fold.fold_type == fold_type else {})
            for fold in (FOLD, LIVE)
        ]
    )
    for own in toy.competitors():
        shutil.rmtree(artifacts.artifacts_dir() / own.key, ignore_errors=True)
    toy.diary.write_text("")
    assert run([toy])["status"].eq("ok").all()
    assert toy.diary.read_text().splitlines() == lines


# ---------- a competitor that raises


def test_a_failure_in_training_is_final(toy):
    failed = _run(replace(toy, trains={"b": ValueError("it is singular")}))
    assert (failed.status, failed.lines) == (B_FAILED, [*TRAIN_ALL, "forecast a c"])
    assert failed.reason["b"] == "ValueError: it is singular"
    later = _run(replace(toy, n_rows=4))  # although it would no longer raise
    assert (later.status, later.lines) == (B_FAILED, ["forecast a c"])
    assert later.reason == failed.reason


@pytest.mark.parametrize("keeps_models", [True, False])
def test_a_failure_in_forecasting_is_final_unless_the_model_is_kept_for_new_rows(toy, keeps_models):
    contest = replace(toy, forecasts={"b": ValueError("these rows do not suit me")}, keeps_models=keeps_models)
    failed = _run(contest)
    assert (failed.status, failed.lines) == (B_FAILED, [*TRAIN_ALL, "forecast a b c"])
    assert failed.reason["b"] == "ValueError: these rows do not suit me"
    assert _run(contest) == replace(failed, lines=[])
    other = _run(replace(contest, n_rows=4 if keeps_models else 2))
    assert other == replace(failed, lines=["forecast a b c"] if keeps_models else [])


@pytest.mark.parametrize("keeps_models", [True, False])
def test_a_joint_forecast_that_raises_is_retried_with_each_model_alone(toy, keeps_models):
    contest = replace(toy, together=ValueError("they do not suit each other"), keeps_models=keeps_models)
    done = _run(contest)
    assert done.status == OK
    assert done.lines == [*TRAIN_ALL, "forecast a b c", "forecast a", "forecast b", "forecast c"]


def test_only_the_row_that_is_not_finite_fails(toy, monkeypatch):
    def forecast(self, models, original=Toy.forecast):
        for own in original(self, models):
            if own.name == "b":
                own.table.loc[1, "q95"] = np.inf
                own.table.loc[2, QUANTILES] = np.nan
                own.table["status"], own.table["reason"] = ["ok", "ok", "skipped"], ["", "", "its own reason"]
            yield own

    monkeypatch.setattr(Toy, "forecast", forecast)
    done = _run(toy)
    assert done.status == {**OK, "b": "ok; failed; skipped"}
    assert done.reason["b"] == "; its forecast is not finite; its own reason"
    assert _run(toy) == replace(done, lines=[])


# ---------- memory and disk


@pytest.mark.parametrize("error", OUT_OF_MEANS.values(), ids=OUT_OF_MEANS)
@pytest.mark.parametrize("keeps_models", [True, False])
def test_lack_of_memory_or_disk_is_retried(toy, error, keeps_models):
    toy = replace(toy, keeps_models=keeps_models)
    for starving, lines in (
        (replace(toy, trains={"b": error}), ["train b", "forecast b"]),
        (replace(toy, subject="other", forecasts={"b": error}), ["forecast b"]),
    ):
        failed = _run(starving)
        assert failed.status == B_FAILED
        assert failed.reason["b"] == f"{type(error).__name__}: {error}"
        again = _run(replace(starving, trains={}, forecasts={}))
        assert again.status == OK
        assert again.lines == [*lines[:-1], "forecast a b c" if keeps_models else "forecast b"]


def test_lack_of_memory_for_all_models_together_does_not_fail_any(toy):
    assert _run(replace(toy, together=MemoryError("no room"))).status == OK


def test_a_full_disk_while_storing_forecasts_is_retried(toy, monkeypatch):
    def full(folder, original=artifacts.inventory):
        if (folder / FORECASTS).exists() and (pd.read_parquet(folder / FORECASTS)["extra"] == "b").all():
            raise OSError(28, "No space left on device")
        return original(folder)

    with monkeypatch.context() as patch:
        patch.setattr(artifacts, "inventory", full)
        failed = _run(toy)
    assert failed.status == B_FAILED
    assert "No space left on device" in failed.reason["b"]
    again = _run(toy)
    assert (again.status, again.lines) == (OK, ["forecast a b c"])


# ---------- killed processes and timeouts


@pytest.mark.parametrize("keeps_models", [True, False])
def test_a_killed_process_fails_only_its_competitor_and_the_next_run_retries(toy, keeps_models):
    toy = replace(toy, names=("a", "b", "c", "d"), keeps_models=keeps_models)
    killed = _run(replace(toy, trains={"b": Killed()}, forecasts={"c": Killed()}))
    assert killed.status == {"a": "ok", "b": "failed", "c": "failed", "d": "ok"}
    assert killed.reason["b"] == killed.reason["c"] == workers.died("exit code -9").reason
    # the forecasts of a, made before c died, are in the store
    assert killed.lines == [*TRAIN_ALL, "train d", "forecast a c d", "forecast c", "forecast d"]
    again = _run(toy)
    assert set(again.status.values()) == {"ok"}
    assert again.lines == ["train b", "forecast a b c d" if keeps_models else "forecast b c"]


def test_a_process_killed_while_forecasting_fails_only_its_competitor(tmp_path, monkeypatch):
    """test_outside_families.py checks a process that is killed while training."""
    monkeypatch.setattr(workers, "_POOL", workers._Pool(1))
    toy = Toy(tmp_path / "diary", names=("a", "b"))
    killed = _run(replace(toy, forecasts={"b": _dies}))
    assert killed.status == {"a": "ok", "b": "failed"}
    assert killed.reason["b"] == workers.died("exit code -9").reason
    assert killed.lines == ["train a", "train b", "forecast a b", "forecast b"]
    monkeypatch.setattr(workers, "run", _here)
    again = _run(toy)
    assert (set(again.status.values()), again.lines) == ({"ok"}, ["forecast a b"])


def test_a_timeout_in_training_is_final_until_the_limit_is_raised(toy):
    slow = _run(replace(toy, trains={"b": Endless()}, limit=60))
    assert slow.status == {**OK, "b": "timed_out"}
    assert slow.reason["b"] == workers.timed_out(60).reason
    assert _run(replace(toy, limit=60, n_rows=4)) == replace(slow, lines=["forecast a c"])
    assert _run(replace(toy, limit=30)) == replace(slow, lines=[])
    longer = _run(replace(toy, limit=61))
    assert (longer.status, longer.lines) == (OK, ["train b", "forecast a b c"])


@pytest.mark.parametrize("keeps_models", [True, False])
def test_a_timeout_in_forecasting_affects_no_other_competitor_and_no_kept_model(toy, keeps_models):
    toy = replace(toy, limit=60, keeps_models=keeps_models)
    slow = _run(replace(toy, forecasts={"b": Endless()}))
    assert slow.status == {**OK, "b": "timed_out"}
    assert slow.reason["b"] == workers.timed_out(60).reason
    assert slow.lines == [*TRAIN_ALL, "forecast a b c", "forecast b", "forecast c"]
    if keeps_models:
        grown = _run(replace(toy, n_rows=4))
        assert (grown.status, grown.lines) == (OK, ["forecast a b c"])
    else:
        assert _run(replace(toy, n_rows=2)) == replace(slow, lines=[])
        longer = _run(replace(toy, limit=61))
        assert (longer.status, longer.lines) == (OK, ["train b", "forecast b"])


def test_the_limit_of_a_joint_forecast_is_the_sum_of_its_competitors_limits(toy, monkeypatch):
    limits = []

    def noting(work, tasks, limit, executor, original=workers.run):
        for task, result in original(work, tasks, limit, executor):
            limits.append(limit(task))
            yield task, result

    monkeypatch.setattr(workers, "run", noting)
    _run(replace(toy, limit=4))
    assert limits == [4, 4, 4, 12]

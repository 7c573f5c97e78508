"""A family that fails anywhere has rows with its reason; lack of memory or disk is retried."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from autogluon.core.utils.exceptions import NotEnoughMemoryError
from autogluon.tabular import TabularPredictor
from own_family import OwnModel
from small_tournament import HORIZONS, QUANTILES, in_this_process, targets_of

from zl_forecast import workers
from zl_forecast.families import load_families
from zl_forecast.families.stacking import FAMILY as STACKING
from zl_forecast.families.stacking import column
from zl_forecast.store import artifacts
from zl_forecast.store.fingerprint import with_row_hash
from zl_forecast.tournament import runner
from zl_forecast.tournament.bucket import ATTRIBUTIONS, BucketContest
from zl_forecast.tournament.contest import KEY
from zl_forecast.tournament.splits import Fold

OUTSIDE = {"toy": "own_family"} | {name: f"outside.{name}" for name in ("refit", "picky", "silent")}
FAMILIES = load_families(pd.DataFrame(OUTSIDE.items(), columns=["family", "module"]))


@pytest.fixture(autouse=True)
def in_its_own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(workers, "run", in_this_process)


def _contest(*names: str, n_test: int = 20) -> BucketContest:
    """300 training sessions and a live fold whose feature drives z_return."""
    rng, n = np.random.default_rng(1), 345
    days = pd.bdate_range("2020-01-01", periods=n)
    mart = pd.DataFrame({"as_of_date": days, "driver": rng.standard_normal(n)})
    targets = targets_of(days, mart[["driver"]].to_numpy() + rng.standard_normal((n, len(HORIZONS))))
    rows = with_row_hash(mart.merge(targets, on="as_of_date").sort_values(KEY, ignore_index=True))
    fold = Fold(days[300], days[300 + n_test], "live", days[295])
    families = {name: FAMILIES[name] for name in names}
    return BucketContest(
        "crush",
        fold,
        ("driver",),
        rows[fold.train_rows(rows)],
        rows[fold.test_rows(rows)],
        None,
        True,
        families,
        dict.fromkeys(families, 60.0),
    )


def _run(contest: BucketContest) -> tuple[dict[str, str], dict[str, str]]:
    """Return status and reason of each family, which are equal in all of its rows."""
    table = runner.run([contest])
    assert len(table) == len(contest.families) * len(contest.test)
    assert (table["status"] == "ok").equals(table[QUANTILES].notna().all(axis=1))
    status, reason = (table.groupby("competitor")[name].agg(set) for name in ("status", "reason"))
    return {name: " ".join(own) for name, own in status.items()}, {name: " ".join(own) for name, own in reason.items()}


def test_a_refit_that_raises_fails_with_its_reason_and_does_not_affect_others(monkeypatch):
    status, reason = _run(_contest("toy", "refit"))
    assert status == {"toy": "ok", "refit": "failed"}
    assert reason["refit"] == "ValueError: the newest rows make it singular"
    monkeypatch.setattr(runner, "_train", None)  # a later build must not train again
    assert _run(_contest("toy", "refit", n_test=21)) == (status, reason)


def test_a_model_that_raises_in_autogluons_validation_does_not_affect_others():
    status, reason = _run(_contest("toy", "picky"))
    assert status == {"toy": "ok", "picky": "failed"}
    assert reason["picky"] == "ValueError: these rows do not suit me"


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        (BucketContest, "inner_rows", MemoryError("no room")),
        (BucketContest, "seen", MemoryError("no room")),
        (OwnModel, "_fit", RuntimeError("XGBoostError: std::bad_alloc")),
        (OwnModel, "_fit", NotEnoughMemoryError("no room")),
        (OwnModel, "save", OSError(28, "No space left on device")),
        (OwnModel, "load", MemoryError("no room")),
        (OwnModel, "_predict_proba", RuntimeError("DefaultCPUAllocator: can't allocate memory")),
        (TabularPredictor, "fit", OSError(28, "No space left on device")),
        (TabularPredictor, "refit_full", MemoryError("no room")),
        (TabularPredictor, "predict", OSError(12, "Cannot allocate memory")),
    ],
)
def test_lack_of_memory_or_disk_at_any_point_fails_and_is_retried(monkeypatch, owner, name, error):
    def starve(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, starve)
        status, reason = _run(_contest("toy"))
    assert status == {"toy": "failed"}
    assert reason["toy"] == f"{type(error).__name__}: {error}"
    assert _run(_contest("toy"))[0] == {"toy": "ok"}


def test_an_explanation_that_raises_is_replaced_by_a_permutation(capsys):
    contest = _contest("silent")
    assert _run(contest)[0] == {"silent": "ok"}
    assert "explanation failed (KeyError: 'no words'); using permutation importance instead" in capsys.readouterr().out
    (own,) = contest.competitors()
    table = pd.read_parquet(artifacts.find(own.key) / ATTRIBUTIONS)
    assert set(table["method"]) == {"permutation"}
    assert set(table["feature"]) == {"driver"}


@pytest.mark.parametrize("n_rows", [1, 3, 9, 30])
def test_stacking_on_its_first_few_rows_forecasts_or_reports_the_reason(n_rows):
    """In the first month after the first fold has begun, only a few forecasts have matured."""
    contest, rng = _contest("toy"), np.random.default_rng(0)
    names = [column(family, q) for family in ("a", "b") for q in QUANTILES]

    def second(rows):
        drawn = np.sort(rng.standard_normal((len(rows), 2, len(QUANTILES))), axis=2).reshape(len(rows), -1)
        return rows.reset_index(drop=True).join(pd.DataFrame(drawn, columns=names))

    few, test = second(contest.train_part.head(n_rows)), second(contest.test)
    families = {"features": tuple(names), "families": {"stacking": STACKING}, "limits": {"stacking": 60.0}}
    status, reason = _run(replace(contest, train_part=few, test=test, **families))
    assert status["stacking"] == "ok" or (status["stacking"] == "failed" and len(reason["stacking"]) > 10)

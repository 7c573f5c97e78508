"""Families from outside the package, in processes as in a build: one competes, three fail in different ways."""

import contextlib
import io
import re

import numpy as np
import pandas as pd
import pytest
from small_tournament import HORIZONS, QUANTILES, families_seed, inputs, own_modules, targets_of

from zl_forecast import settings
from zl_forecast.errors import TournamentError
from zl_forecast.tournament import run_specialist
from zl_forecast.tournament.contest import KEY

FORECAST = ["competitor", "fold_type", *KEY, *QUANTILES, "status"]
FAILING = ("killed", "raising", "sleeping")
MODULES = own_modules(["reference", "xgboost", "stacking"]) | {"toy": "own_family"}
MODULES |= {name: f"outside.{name}" for name in FAILING}
REASONS = {
    "killed": ("failed", "process died"),
    "raising": ("failed", "ValueError: the moon is in the wrong house"),
    "sleeping": ("timed_out", "timed out after 3 s; raise time_limit_seconds"),
}


@pytest.fixture(scope="module")
def market():
    """Simulate mart and targets, two years and a live fold; the sign of the first feature drives z_return."""
    rng, n = np.random.default_rng(5), 800
    days = pd.bdate_range("2017-01-02", periods=n)
    mart = pd.DataFrame({"as_of_date": days, "driver": rng.standard_normal(n), "horizonless": 1.0})
    return mart, targets_of(days, np.sign(mart[["driver"]].to_numpy()) + rng.standard_normal((n, len(HORIZONS))))


def _run(market, families=tuple(MODULES), executor="local") -> tuple[pd.DataFrame, list[str]]:
    """Return the forecasts and the printed line of each finished task."""
    seed = families_seed({name: MODULES[name] for name in families}, {"sleeping": 3})
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        forecasts = run_specialist(inputs(*market, seed), executor=executor)
    return forecasts, [line for line in printed.getvalue().splitlines() if "so far" in line]


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def first_run(market, folder):
    """Run all families together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        return _run(market)


@pytest.fixture(scope="module")
def forecasts(first_run):
    return first_run[0]


def test_a_family_from_outside_competes_and_finds_its_driver(market, forecasts):
    own = forecasts[(forecasts["competitor"] == "toy") & (forecasts["fold_type"] == "oof")]
    joined = own.merge(market[1].dropna(), on=KEY)
    assert np.corrcoef(joined["q50"], joined["z_return"])[0, 1] > 0.5  # the true signal reaches 0.71


@pytest.mark.parametrize("family", REASONS)
def test_a_family_that_is_killed_raises_or_times_out_has_rows_with_the_reason(forecasts, family):
    status, reason = REASONS[family]
    own = forecasts[forecasts["competitor"] == family]
    assert len(own) == (forecasts["competitor"] == "reference").sum()
    assert set(own["status"]) == {status}
    assert own["reason"].str.contains(reason).all()
    assert own[QUANTILES].isna().all(axis=None)


def test_the_other_families_continue(forecasts):
    own = forecasts[forecasts["competitor"].isin(["reference", "xgboost", "toy"])]
    assert set(own["status"]) == {"ok"}
    assert own[QUANTILES].notna().all(axis=None)


def test_stacking_skips_the_first_fold_and_then_prefers_the_best_family(forecasts):
    own = forecasts[forecasts["competitor"] == "stacking"]
    assert own.groupby("fold_start")["status"].unique().str[0].tolist() == ["skipped", "ok"]
    both = own[own["status"] == "ok"].merge(forecasts[forecasts["competitor"] == "toy"], on=KEY, suffixes=("", "_toy"))
    assert np.corrcoef(both["q50"], both["q50_toy"])[0, 1] > 0.9


def test_every_finished_task_prints_a_line_with_the_remaining_time(first_run):
    _, lines = first_run
    assert all(
        re.fullmatch(r"\d+/\d+ crush \w+ 20\d\d-01 .*: \d+ s so far, about \d+ s remain", line) for line in lines
    )
    # first-level families are trained on both folds and forecast together; stacking is trained on the second
    assert len(lines) == 2 * (6 + 1) + 2
    assert sum(" killed failed:" in line for line in lines) == 2
    assert sum(" sleeping timed_out:" in line for line in lines) == 2
    assert lines[-1].startswith("1/1 crush live 2020-01 stacking:")
    assert lines[-1].endswith("about 0 s remain")


def test_killed_fits_are_retried_and_failed_or_timed_out_ones_are_not(monkeypatch, market, forecasts, folder):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    again, lines = _run(market)
    assert len(lines) == 2  # one per fold
    assert all(" killed failed:" in line for line in lines)
    pd.testing.assert_frame_equal(again[FORECAST], forecasts[FORECAST])


def test_a_ray_cluster_gives_the_same_rows_and_the_same_statuses(monkeypatch, market, forecasts, tmp_path):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    families = ("toy", "killed", "sleeping")
    try:
        on_ray, _ = _run(market, families, executor="ray")
    finally:
        ray.shutdown()
    local = forecasts[forecasts["competitor"].isin(families)].reset_index(drop=True)
    pd.testing.assert_frame_equal(on_ray[FORECAST], local[FORECAST])


def test_an_unknown_executor_is_refused(monkeypatch, market, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    with pytest.raises(TournamentError, match=r"executor 'spark' does not exist\. Use local or ray"):
        _run(market, ("reference",), executor="spark")

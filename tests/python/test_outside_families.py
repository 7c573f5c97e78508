"""Families from outside of the package: one that competes, and three that fail in each way there is, in processes as in a build."""

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
FROM_OUTSIDE = ("toy", "killed", "raising", "sleeping")
MODULES = own_modules(["reference", "xgboost", "stacking"]) | {name: f"outside.{name}" for name in FROM_OUTSIDE}
REASONS = {
    "killed": ("failed", "its process died"),
    "raising": ("failed", "ValueError: the moon is in the wrong house"),
    "sleeping": ("timed_out", "not finished after 3 s, its limit in seeds/families.csv"),
}


@pytest.fixture(scope="module")
def market():
    """A mart whose first feature drives z_return by its sign, two years and a live fold; mart and targets."""
    rng, n = np.random.default_rng(5), 800
    days = pd.bdate_range("2017-01-02", periods=n)
    mart = pd.DataFrame({"as_of_date": days, "driver": rng.standard_normal(n), "horizonless": 1.0})
    return mart, targets_of(days, np.sign(mart[["driver"]].to_numpy()) + rng.standard_normal((n, len(HORIZONS))))


def _run(market, families=tuple(MODULES), executor="local") -> tuple[pd.DataFrame, list[str]]:
    """Forecasts, and the line of each task that ended."""
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
    """All of them together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        return _run(market)


@pytest.fixture(scope="module")
def forecasts(first_run):
    return first_run[0]


def test_a_family_from_outside_competes_and_finds_its_driver(market, forecasts):
    own = forecasts[(forecasts["competitor"] == "toy") & (forecasts["fold_type"] == "oof")]
    joined = own.merge(market[1].dropna(), on=KEY)
    assert np.corrcoef(joined["q50"], joined["z_return"])[0, 1] > 0.5  # of 0.71 that the truth would reach


@pytest.mark.parametrize("family", REASONS)
def test_a_family_that_dies_raises_or_does_not_end_leaves_rows_with_the_reason(forecasts, family):
    status, reason = REASONS[family]
    own = forecasts[forecasts["competitor"] == family]
    assert len(own) == (forecasts["competitor"] == "reference").sum()
    assert set(own["status"]) == {status}
    assert own["reason"].str.contains(reason).all()
    assert own[QUANTILES].isna().all(axis=None)


def test_the_others_go_on(forecasts):
    own = forecasts[forecasts["competitor"].isin(["reference", "xgboost", "toy"])]
    assert set(own["status"]) == {"ok"}
    assert own[QUANTILES].notna().all(axis=None)


def test_stacking_waits_for_matured_forecasts_and_then_leans_on_the_best(forecasts):
    own = forecasts[forecasts["competitor"] == "stacking"]
    assert own.groupby("fold_start")["status"].unique().str[0].tolist() == ["skipped", "ok"]
    both = own[own["status"] == "ok"].merge(forecasts[forecasts["competitor"] == "toy"], on=KEY, suffixes=("", "_toy"))
    assert np.corrcoef(both["q50"], both["q50_toy"])[0, 1] > 0.9


def test_every_task_that_ended_is_a_line_with_what_remains(first_run):
    _, lines = first_run
    assert all(
        re.fullmatch(r"\d+/\d+ crush \w+ 20\d\d-01 .*: \d+ s so far, about \d+ s remain", line) for line in lines
    )
    # each family of the first level is trained on both folds, then all forecast together; stacking on the second
    assert len(lines) == 2 * (6 + 1) + 2
    assert sum(" killed failed:" in line for line in lines) == 2
    assert sum(" sleeping timed_out:" in line for line in lines) == 2
    assert lines[-1].startswith("1/1 crush live 2020-01 stacking:")
    assert lines[-1].endswith("about 0 s remain")


def test_what_died_is_tried_again_and_what_raised_or_did_not_end_is_not(monkeypatch, market, forecasts, folder):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    again, lines = _run(market)
    assert len(lines) == 2  # one a fold
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

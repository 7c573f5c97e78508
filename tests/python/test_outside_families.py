"""Families from outside of the package: one that competes, and three that fail in each way there is."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.errors import TournamentError
from zl_forecast.tournament import fit, run_specialist

HORIZONS = (5, 10, 20)
QUANTILES = list(settings.QUANTILE_COLUMNS)
FORECAST = ["family", "kind", *fit.KEY, *QUANTILES, "status"]
MODULES = {
    "reference": "zl_forecast.families.reference",
    "xgboost": "zl_forecast.families.xgboost",
    "stacking": "zl_forecast.families.stacking",
    "toy": "outside.toy",
    "killed": "outside.killed",
    "raising": "outside.raising",
    "sleeping": "outside.sleeping",
}
LIMITS = {"sleeping": 3}
REASONS = {
    "killed": ("failed", "its process died"),
    "raising": ("failed", "the moon is in the wrong house"),
    "sleeping": ("timed_out", "not finished after 3 s, its limit in seeds/families.csv"),
}


@pytest.fixture(scope="module")
def market():
    """A mart whose first feature drives z by its sign, two years and one month; mart and targets."""
    rng, n = np.random.default_rng(5), 815
    days = pd.bdate_range("2017-01-02", periods=n + max(HORIZONS))
    mart = pd.DataFrame({"as_of_date": days[:n], "horizonless": 1.0, "driver": rng.standard_normal(n)})
    frames = []
    for horizon in HORIZONS:
        is_matured = np.arange(n) < n - horizon
        z = np.sign(mart["driver"]) + rng.standard_normal(n)
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": days[:n],
                    "horizon_days": horizon,
                    "target_date": days[horizon : n + horizon],
                    "z": np.where(is_matured, z, np.nan),
                    "is_matured": is_matured,
                }
            )
        )
    return mart[["as_of_date", "driver", "horizonless"]], pd.concat(frames, ignore_index=True)


def _run(market, families: tuple[str, ...], executor: str = "local") -> pd.DataFrame:
    mart, targets = market
    seed = pd.DataFrame(
        {
            "family": families,
            "module": [MODULES[name] for name in families],
            "from_preset": "full",
            "time_limit_seconds": [LIMITS.get(name, 300) for name in families],
        }
    )
    return run_specialist(
        "crush",
        mart=mart,
        targets=targets,
        zl=pd.DataFrame({"as_of_date": mart["as_of_date"], "log_return": 0.01, "sigma": 0.01}),
        buckets=pd.DataFrame({"bucket": ["crush"], "candidates": ["toy"], "channels": ["driver"]}),
        families=seed,
        preset="full",
        executor=executor,
    )


@pytest.fixture(scope="module", autouse=True)
def few_rows_are_enough():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("outside")


@pytest.fixture(scope="module")
def forecasts(market, folder):
    """All of them together, in the worker processes of a build."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        return _run(market, tuple(MODULES))


def test_a_family_from_outside_competes_and_finds_its_driver(market, forecasts):
    own = forecasts[(forecasts["family"] == "toy") & (forecasts["kind"] == "oof")]
    assert set(own["status"]) == {"ok"}
    joined = own.merge(market[1].dropna(), on=fit.KEY)
    assert np.corrcoef(joined["q50"], joined["z"])[0, 1] > 0.5  # of 0.71 that the truth would reach


@pytest.mark.parametrize("family", REASONS)
def test_a_family_that_dies_raises_or_does_not_end_leaves_rows_with_the_reason(forecasts, family):
    status, reason = REASONS[family]
    own = forecasts[forecasts["family"] == family]
    assert len(own) == (forecasts["family"] == "reference").sum()
    assert set(own["status"]) == {status}
    assert own["reason"].str.contains(reason).all()
    assert own[QUANTILES].isna().all(axis=None)


@pytest.mark.parametrize("family", ["reference", "xgboost", "toy"])
def test_the_others_go_on(forecasts, family):
    own = forecasts[forecasts["family"] == family]
    assert set(own["status"]) == {"ok"}
    assert own[QUANTILES].notna().all(axis=None)


def test_stacking_waits_for_matured_forecasts_and_then_leans_on_the_best(forecasts):
    own = forecasts[forecasts["family"] == "stacking"]
    assert own.groupby("fold_start")["status"].unique().str[0].tolist() == ["skipped", "ok", "ok"]
    ok = own[own["status"] == "ok"].merge(
        forecasts[forecasts["family"] == "toy"], on=["kind", "fold_start", *fit.KEY], suffixes=("", "_toy")
    )
    assert np.corrcoef(ok["q50"], ok["q50_toy"])[0, 1] > 0.9


def test_what_died_is_tried_again_and_what_raised_or_did_not_end_is_not(monkeypatch, market, forecasts, folder, capsys):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    again = _run(market, tuple(MODULES))
    lines = [line for line in capsys.readouterr().out.splitlines() if "so far" in line]
    assert len(lines) == 3  # one a block
    assert all(" killed failed:" in line for line in lines)
    pd.testing.assert_frame_equal(again[FORECAST], forecasts[FORECAST])


def test_a_longer_limit_tries_again_what_did_not_end(monkeypatch, market, forecasts, folder, capsys):
    monkeypatch.setenv("ZL_DATA_DIR", str(folder))
    monkeypatch.setitem(LIMITS, "sleeping", 4)
    again = _run(market, ("reference", "sleeping"))
    assert capsys.readouterr().out.count(" sleeping timed_out:") == 3
    assert again["reason"].str.contains("after 4 s").any()


def test_every_finished_fit_is_a_line_with_what_remains(monkeypatch, market, tmp_path, capsys):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    _run(market, ("reference", "toy"))
    lines = [line for line in capsys.readouterr().out.splitlines() if "so far" in line]
    assert len(lines) == 6
    assert lines[3].startswith("4/4 crush oof ")  # the history, then the live block
    assert lines[-1].startswith("2/2 crush live ")
    assert "about 0 s remain" in lines[-1]


def test_a_ray_cluster_gives_the_same_rows_and_the_same_statuses(monkeypatch, market, forecasts, tmp_path):
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    try:
        on_ray = _run(market, tuple(MODULES), executor="ray")
    finally:
        ray.shutdown()
    pd.testing.assert_frame_equal(on_ray[FORECAST], forecasts[FORECAST])


def test_an_unknown_executor_is_refused(monkeypatch, market, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    with pytest.raises(TournamentError, match=r"executor 'spark' does not exist\. Use local or ray"):
        _run(market, ("reference",), executor="spark")

"""No forecast knows what came after: families that read the look-back, and stacking, in whole tournaments on changed markets.

Each market is the same until a day and another from then on. What a fit or a forecast may know of it must come out bit by bit
the same; and what it should know of it must not, so that the first cannot hold for want of looking.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from zl_forecast import artifacts, settings, workers
from zl_forecast.families import garch, lstm, sarimax, sequence, xgboost
from zl_forecast.tournament import fit, run_specialist
from zl_forecast.tournament.specialist import Tournament

HORIZONS = (5, 10, 20)
SESSIONS = 830  # two years, the block of 2019, the block of 2020 that still grows, and a live one
QUANTILES = list(settings.QUANTILE_COLUMNS)
FAMILIES = ("reference", "ridge", "xgboost", "garch", "sarimax", "lstm", "stacking")
READERS = ("garch", "sarimax", "lstm")
BLOCK = pd.Timestamp("2020-01-01")  # the first that stacking forecasts


def _tables(returns: np.ndarray, features: np.ndarray, shock: np.ndarray) -> dict[str, pd.DataFrame]:
    """Mart, targets and ZL; a target is the sum of returns plus, for a shaken market, a shock of its own."""
    n = SESSIONS
    days = pd.bdate_range("2017-01-02", periods=n + max(HORIZONS))
    sigma = np.sqrt(pd.Series(returns**2).ewm(alpha=0.03).mean().to_numpy())
    log_price = np.concatenate([np.cumsum(returns), np.full(max(HORIZONS), np.nan)])
    frames = []
    for h in HORIZONS:
        z = (log_price[h : n + h] - log_price[:n]) / (sigma * np.sqrt(h))
        ends = np.minimum(np.arange(n) + h, n - 1)
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": days[:n],
                    "horizon_days": h,
                    "target_date": days[h : n + h],
                    "z": z + shock[ends],
                    "is_matured": ~np.isnan(z),
                }
            )
        )
    mart = pd.DataFrame({"as_of_date": days[:n], "driver": features[:, 0], "noise": features[:, 1]})
    zl = pd.DataFrame({"as_of_date": days[:n], "log_return": returns, "sigma": sigma})
    return {"mart": mart, "targets": pd.concat(frames, ignore_index=True), "zl": zl}


def _market(shaken_from=None, shaken_until=None, targets_from=None) -> dict[str, pd.DataFrame]:
    """Returns with a memory and a driver; between two days all is different, and targets from a day on."""
    rng = np.random.default_rng(6)
    days = pd.bdate_range("2017-01-02", periods=SESSIONS)
    features = rng.standard_normal((SESSIONS, 2))
    returns = 0.01 * rng.standard_t(5, SESSIONS)
    for i in range(1, SESSIONS):
        returns[i] += 0.3 * returns[i - 1] + 0.004 * features[i - 1, 0]
    shock = np.zeros(SESSIONS)
    if shaken_from is not None:
        shaken = (days >= shaken_from) & (days < (shaken_until or days[-1] + pd.DateOffset(1)))
        returns[shaken] = 0.05 * rng.standard_normal(shaken.sum())
        features[shaken] = 4 + rng.standard_normal((shaken.sum(), 2))
    if targets_from is not None:
        shock[days >= targets_from] = 5.0
    return _tables(returns, features, shock)


def _arguments(tables) -> dict:
    families = pd.DataFrame(
        {
            "family": FAMILIES,
            "module": [f"zl_forecast.families.{name}" for name in FAMILIES],
            "from_preset": "full",
            "time_limit_seconds": 600,
        }
    )
    buckets = pd.DataFrame({"bucket": ["crush"], "candidates": ["ridge"], "channels": ["driver"]})
    return {**tables, "buckets": buckets, "families": families}


def _run(tables, folder) -> pd.DataFrame:
    def here(work, tasks, limit, executor):
        for task in tasks:
            yield task, work(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", here)
        forecasts = run_specialist("crush", **_arguments(tables), preset="full")
    own = forecasts[forecasts["fold_start"] == BLOCK]
    assert set(own["status"]) == {"ok"}, own["reason"].unique()
    return own.reset_index(drop=True)


@pytest.fixture(scope="module", autouse=True)
def quick_and_keen():
    """XGBoost that reacts to single rows, a network that is believed after one epoch, and statistical families without a choice."""
    torch.set_num_threads(1)
    trees = {"num_boost_round": 20, "eta": 0.3, "max_depth": 4, "min_child_weight": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(xgboost, "FAMILY", replace(xgboost.FAMILY, hyperparameters=trees))
        short = {**lstm.FAMILY.hyperparameters, "epochs": 1}
        patch.setattr(lstm, "FAMILY", replace(lstm.FAMILY, hyperparameters=short))
        train = sequence.train
        patch.setattr(
            sequence, "train", lambda net, anchor, data, _, **kwargs: train(net, anchor, data, None, **kwargs)
        )
        patch.setattr(sequence, "validated_share", lambda gain, horizons: np.ones(len(horizons)))
        patch.setattr(sarimax, "ORDERS", ((1, 0),))
        patch.setattr(sarimax, "SEASONS", ((0, 0),))
        patch.setattr(garch, "PATHS", 500)
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        yield


@pytest.fixture(scope="module")
def embargo():
    """Five sessions before the block; counted here, not asked of the code under test."""
    days = pd.DatetimeIndex(_market()["mart"]["as_of_date"])
    return days[days < BLOCK][-5]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """The market as it was: forecasts of the block and where its models are."""
    folder = tmp_path_factory.mktemp("plain")
    return _run(_market(), folder), folder


@pytest.fixture(scope="module")
def later(embargo, tmp_path_factory):
    """Another market from the embargo on, targets included."""
    folder = tmp_path_factory.mktemp("later")
    tables = _market(shaken_from=embargo, targets_from=embargo)
    return _run(tables, folder), folder


@pytest.fixture(scope="module")
def before(embargo, tmp_path_factory):
    """Another market in the last month before the embargo, targets included, and the same again from the embargo on."""
    folder = tmp_path_factory.mktemp("before")
    month = embargo - pd.DateOffset(days=30)
    tables = _market(shaken_from=month, shaken_until=embargo, targets_from=month)
    return _run(tables, folder), folder


def _on_the_same_rows(forecasts, folder, family: str) -> np.ndarray:
    """What the block's model says of the rows of the market as it was; first-level families."""
    tables = _arguments(_market())
    name = forecasts.loc[forecasts["family"] == family, "fingerprint"].iloc[0]
    tournament = Tournament.of("crush", enrolled=_enrolled(tables), **tables)
    (task,) = (t for t in tournament.first_level() if t.name == family and t.block.fold == tournament.blocks[-2].fold)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        predictor, facts = fit._load(artifacts.find(name) / fit.MODELS)
    return predictor.predict(task.block.rows(task.block.test, task.family), model=facts["model"]).to_numpy()


def _enrolled(tables):
    from zl_forecast.tournament import enrolled_families

    return enrolled_families("crush", "full", tables["buckets"], tables["families"])


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "stacking"])
def test_a_model_is_the_same_whatever_happens_from_the_embargo_on(plain, later, family):
    np.testing.assert_array_equal(_on_the_same_rows(*later, family), _on_the_same_rows(*plain, family))


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "stacking"])
def test_a_model_is_another_when_the_month_before_the_embargo_was(plain, before, family):
    assert not np.array_equal(_on_the_same_rows(*before, family), _on_the_same_rows(*plain, family))


@pytest.fixture(scope="module")
def halfway(embargo, tmp_path_factory):
    """Another market from the middle of the block on, and other targets from the embargo on; and that day."""
    days = pd.DatetimeIndex(_market()["mart"]["as_of_date"])
    day = days[days >= BLOCK][10]
    tables = _market(shaken_from=day, targets_from=embargo)
    return _run(tables, tmp_path_factory.mktemp("halfway")), day


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forecast_is_the_same_whatever_happens_after_its_session(plain, halfway, family):
    shaken, day = halfway
    own, others = (
        frame[(frame["family"] == family) & (frame["kind"] == "oof")].reset_index(drop=True)
        for frame in (plain[0], shaken)
    )
    early = own["as_of_date"] < day
    assert early.sum() == 10 * len(HORIZONS)
    np.testing.assert_array_equal(others.loc[early, QUANTILES], own.loc[early, QUANTILES])
    if family != "reference":  # which looks at no market
        assert not np.array_equal(others.loc[~early, QUANTILES], own.loc[~early, QUANTILES])


def test_stacking_learns_from_earlier_blocks_and_nothing_else(plain, later, before):
    """Its weights, which its own words tell: a member's share of P50 is its weight times its own P50."""

    def weights(forecasts, folder):
        name = forecasts.loc[(forecasts["family"] == "stacking") & (forecasts["kind"] == "oof"), "fingerprint"].iloc[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("ZL_DATA_DIR", str(folder))
            predictor, facts = fit._load(artifacts.find(name) / fit.MODELS)
        return predictor._trainer.load_model(facts["model"]).model

    assert weights(*later) == weights(*plain)
    assert weights(*before) != weights(*plain)

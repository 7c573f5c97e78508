"""No look-ahead: families that read the look-back, and stacking, in whole tournaments on changed markets.

Each changed market equals the original until a day and differs from then on. Fits and forecasts that may only use
earlier data must be bit-identical. Those that should use the changed data must differ, or the first check is empty.
"""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_tournament import HORIZONS, QUANTILES, families_seed, inputs, own_modules, run_here, targets_of

from zl_forecast import settings
from zl_forecast.families import garch, load_families, lstm, sarimax, sequence, xgboost
from zl_forecast.tournament.predictor import fitted_model
from zl_forecast.tournament.runner import FACTS, MODEL
from zl_forecast.tournament.specialist import Inputs, Tournament

SESSIONS = 805  # two years, the fold of 2019, and a live fold from 2020
DAYS = pd.bdate_range("2017-01-02", periods=SESSIONS)
FAMILIES = ("reference", "ridge", "xgboost", "garch", "sarimax", "lstm", "stacking")
FAMILY = load_families(families_seed(own_modules(FAMILIES)))
FOLD = pd.Timestamp("2020-01-01")  # first fold that stacking forecasts
EMBARGO = DAYS[DAYS < FOLD][-5]  # five sessions before, computed independently of the code under test


def _inputs(returns: np.ndarray, features: np.ndarray, shock: np.ndarray) -> Inputs:
    """Compute the targets of a market: the sum of returns plus, for a perturbed market, a separate shock."""
    n = SESSIONS
    ewma_volatility = np.sqrt(pd.Series(returns**2).ewm(alpha=0.03).mean().to_numpy())
    log_price = np.concatenate([np.cumsum(returns), np.full(max(HORIZONS), np.nan)])
    z = [
        (log_price[h : n + h] - log_price[:n]) / (ewma_volatility * np.sqrt(h))
        + shock[np.minimum(np.arange(n) + h, n - 1)]
        for h in HORIZONS
    ]
    mart = pd.DataFrame({"as_of_date": DAYS, "driver": features[:, 0], "noise": features[:, 1]})
    zl = pd.DataFrame({"as_of_date": DAYS, "log_return": returns, "ewma_volatility": ewma_volatility})
    return inputs(mart, targets_of(DAYS, np.stack(z, axis=1)), families_seed(own_modules(FAMILIES)), zl)


def _market(perturbed_from=None, perturbed_until=None, targets_from=None) -> Inputs:
    """Simulate returns with memory and a driver; data between two days, and targets from a day on, are changed."""
    rng = np.random.default_rng(6)
    features = rng.standard_normal((SESSIONS, 2))
    returns = 0.01 * rng.standard_t(5, SESSIONS)
    for i in range(1, SESSIONS):
        returns[i] += 0.3 * returns[i - 1] + 0.004 * features[i - 1, 0]
    shock = np.zeros(SESSIONS)
    if perturbed_from is not None:
        perturbed = (perturbed_from <= DAYS) & ((perturbed_until or DAYS[-1] + pd.DateOffset(1)) > DAYS)
        returns[perturbed] = 0.05 * rng.standard_normal(perturbed.sum())
        features[perturbed] = 4 + rng.standard_normal((perturbed.sum(), 2))
    if targets_from is not None:
        shock[targets_from <= DAYS] = 5.0
    return _inputs(returns, features, shock)


def _run(own: Inputs, folder) -> pd.DataFrame:
    forecasts, _ = run_here(own, folder)
    forecasts = forecasts[forecasts["fold_start"] == FOLD].reset_index(drop=True)
    assert set(forecasts["status"]) == {"ok"}, forecasts["reason"].unique()
    return forecasts


@pytest.fixture(scope="module", autouse=True)
def sensitive_models():
    """XGBoost that reacts to single rows, a network trusted after one epoch, no selection of statistical models."""
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
        patch.setattr(sequence, "validated_share", lambda loss_reduction, horizons: np.ones(len(horizons)))
        patch.setattr(sarimax, "ORDERS", ((1, 0),))
        patch.setattr(sarimax, "SEASONS", ((0, 0),))
        patch.setattr(sarimax, "FOLDS", 2)
        patch.setattr(garch, "PATHS", 500)
        patch.setattr(settings, "MIN_TRAIN_ROWS", 500)
        patch.setattr(settings, "EXPLAINED_SESSIONS", 5)
        yield


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Run the tournament on the original market: forecasts of the fold and the folder of its models."""
    folder = tmp_path_factory.mktemp("plain")
    return _run(_market(), folder), folder


@pytest.fixture(scope="module")
def later(tmp_path_factory):
    """The market with data and targets changed from the embargo on."""
    folder = tmp_path_factory.mktemp("later")
    return _run(_market(perturbed_from=EMBARGO, targets_from=EMBARGO), folder), folder


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """The market with data changed in the last month before the embargo, and targets from that month on."""
    folder = tmp_path_factory.mktemp("before")
    month = EMBARGO - pd.DateOffset(days=30)
    return _run(_market(perturbed_from=month, perturbed_until=EMBARGO, targets_from=month), folder), folder


def _model(forecasts, folder, family: str):
    """Load the fold's model of a family."""
    (key,) = set(forecasts.loc[forecasts["competitor"] == family, "artifact_id"])
    stored = folder / "artifacts" / key
    return fitted_model(FAMILY[family], stored / MODEL, json.loads((stored / FACTS).read_text()))


def _on_the_same_rows(forecasts, folder, family: str) -> np.ndarray:
    """Forecast the rows of the original market with the fold's model; first-level families."""
    contest = Tournament.of(_market()).contests[-1]
    return _model(forecasts, folder, family).predict_proba(contest.seen(contest.test, FAMILY[family].reads_lookback))


def test_a_contest_contains_no_rows_after_its_fold():
    first, live = Tournament.of(_market()).contests
    assert first.fold.end <= live.fold.start
    for contest in (first, live):
        for rows in (contest.train_part, contest.test, contest.lookback):
            assert rows["as_of_date"].max() < contest.fold.end
        assert contest.train_part["target_date"].max() < contest.fold.train_until


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "stacking"])
def test_a_model_depends_only_on_data_before_the_embargo(plain, before, later, family):
    own = _on_the_same_rows(*plain, family)
    np.testing.assert_array_equal(_on_the_same_rows(*later, family), own)
    assert not np.array_equal(_on_the_same_rows(*before, family), own)


def test_stacking_depends_only_on_earlier_folds(plain, before, later):
    """Compare the weights by horizon."""
    own = _model(*plain, "stacking").model
    assert _model(*later, "stacking").model == own
    assert _model(*before, "stacking").model != own


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """The market with data changed from the middle of the fold on, targets from the embargo on; and that day."""
    day = DAYS[DAYS >= FOLD][10]
    return _run(_market(perturbed_from=day, targets_from=EMBARGO), tmp_path_factory.mktemp("halfway")), day


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forecast_does_not_depend_on_data_after_its_session(plain, halfway, family):
    perturbed, day = halfway
    own, others = (table[table["competitor"] == family].reset_index(drop=True) for table in (plain[0], perturbed))
    early = own["as_of_date"] < day
    assert early.sum() == 10 * len(HORIZONS)
    np.testing.assert_array_equal(others.loc[early, QUANTILES], own.loc[early, QUANTILES])
    if family != "reference":  # it reads no market data
        assert not np.array_equal(others.loc[~early, QUANTILES], own.loc[~early, QUANTILES])

"""The core forecaster on a simulated random walk: complete, calibrated and without look-ahead."""

import shutil
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest

from zl_forecast import core, settings, workers
from zl_forecast.errors import TournamentError
from zl_forecast.tournament import runner

QUANTILES = list(settings.QUANTILE_COLUMNS)
HORIZONS = (5, 20)
EWMA_VOLATILITY = 0.01
COMPETITORS = ("autogluon_timeseries", "reference")


def _market(n_sessions: int = 900, seed: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate prices of a random walk without drift around 45 c/lb, with their targets."""
    days = pd.bdate_range("2016-01-04", periods=n_sessions)
    log_price = np.log(45) + np.cumsum(np.random.default_rng(seed).normal(0, EWMA_VOLATILITY, n_sessions))
    prices = pd.DataFrame({"as_of_date": days, "close": np.exp(log_price)})
    return prices, _targets(prices)


def _targets(prices: pd.DataFrame) -> pd.DataFrame:
    days, log_price = pd.DatetimeIndex(prices["as_of_date"]), np.log(prices["close"].to_numpy())
    beyond = days.append(pd.bdate_range(days[-1], periods=max(HORIZONS) + 1)[1:])
    frames = []
    for horizon in HORIZONS:
        scale = EWMA_VOLATILITY * np.sqrt(horizon)
        change = np.append(log_price[horizon:] - log_price[:-horizon], np.full(horizon, np.nan))
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": days,
                    "horizon_days": horizon,
                    "target_date": beyond[horizon : horizon + len(days)],
                    "horizon_volatility": scale,
                    "z_return": change / scale,
                    "is_matured": np.isfinite(change),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


class Jobs(list):
    """The runner's jobs in order: ('train' or 'forecast', contest and competitors)."""

    @property
    def trained(self) -> list[str]:
        return [what for how, what in self if how == "train"]

    @property
    def forecast(self) -> list[str]:
        return [what for how, what in self if how == "forecast"]


@contextmanager
def in_this_process(folder):
    """Use a store in a folder and run the runner's jobs in this process; yield them as `Jobs`."""
    jobs = Jobs()

    def here(work, tasks, limit, executor):
        for task in tasks:
            jobs.append((task.step.__name__.strip("_"), str(task)))
            yield task, work(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", here)
        yield jobs


def _run(prices: pd.DataFrame, targets: pd.DataFrame, folder) -> tuple[pd.DataFrame, Jobs]:
    live_from = prices["as_of_date"].max().to_period("M").start_time
    with in_this_process(folder) as jobs:
        return core.run_core(prices, targets, pd.DataFrame({"live_from": [live_from]})), jobs


@pytest.fixture(scope="module", autouse=True)
def one_model():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "MODELS", {"Naive": {"n_jobs": 1}})
        yield


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The store after `forecasts`. Read only."""
    return tmp_path_factory.mktemp("core")


@pytest.fixture(scope="module")
def fitted_on():
    """Log prices on which AutoGluon was fitted for `forecasts`, per fold."""
    return []


@pytest.fixture(scope="module")
def forecasts(market, store, fitted_on):
    def spy(log_prices, origins, length, original=core._items):
        items = original(log_prices, origins, length)
        if len(origins) == 1:  # a predictor is fitted on one history, but forecasts from many origins
            fitted_on.append(items["target"].to_numpy())
        return items

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(core, "_items", spy)
        return _run(*market, store)[0]


@pytest.fixture
def again(forecasts, store, tmp_path):
    """Return a function that runs the core on other data with a copy of the store."""
    copy = shutil.copytree(store, tmp_path / "again")
    return lambda prices, targets: _run(prices, targets, copy)


ROW = ["fold_type", *core.KEY]


def _of(forecasts: pd.DataFrame, competitor: str) -> pd.DataFrame:
    return forecasts[forecasts["competitor"] == competitor].sort_values(ROW, ignore_index=True)


def test_core_and_reference_forecast_every_row_of_every_fold(market, forecasts):
    _, targets = market
    newest = targets["as_of_date"].dt.to_period("M") == targets["as_of_date"].max().to_period("M")
    history = (targets["as_of_date"] >= "2018-01-01") & ~newest
    assert set(forecasts["subject"]) == {"core"}
    for competitor in COMPETITORS:
        own = _of(forecasts, competitor)
        assert len(own) == history.sum() + newest.sum()
        assert not own.duplicated(ROW).any()
        assert np.isfinite(own[QUANTILES]).all(axis=None)
        assert set(own["status"]) == {"ok"}


def test_quantiles_ascend(forecasts):
    assert (np.diff(forecasts[QUANTILES], axis=1) >= 0).all()


def test_the_median_of_a_random_walk_stays_near_the_last_price(forecasts):
    assert _of(forecasts, "autogluon_timeseries")["q50"].abs().max() < 0.2  # of one standard deviation


def test_the_band_of_a_random_walk_has_about_the_true_width(market, forecasts):
    own = _of(forecasts, "autogluon_timeseries")
    assert (own["q90"] - own["q10"]).mean() == pytest.approx(2 * 1.2816, rel=0.15)
    inside = own.merge(market[1].dropna(), on=core.KEY).eval("q10 <= z_return <= q90").mean()
    assert 0.7 < inside < 0.9


def test_reference_rows_are_the_centred_quantiles_of_rows_matured_before_the_fold(market, forecasts):
    _, targets = market
    own = _of(forecasts, "reference")
    for (until, horizon), rows in own.groupby(["trained_until", "horizon_days"]):
        z = targets.loc[(targets["horizon_days"] == horizon) & (targets["target_date"] < until), "z_return"]
        expected = np.quantile(z, settings.QUANTILE_LEVELS) - np.median(z)
        np.testing.assert_allclose(rows[QUANTILES], np.tile(expected, (len(rows), 1)))
    assert (own["q50"] == 0).all()


def test_prices_after_an_origin_change_nothing_in_its_forecasts(market, forecasts, again):
    prices, _ = market
    origin = prices["as_of_date"].iloc[700]  # in the middle of a fold
    perturbed = prices.copy()
    later = perturbed["as_of_date"] > origin
    perturbed.loc[later, "close"] *= np.exp(np.random.default_rng(6).normal(0, 0.3, later.sum()))
    after, _ = again(perturbed, _targets(perturbed))
    for competitor in COMPETITORS:
        own = [_of(frame, competitor)[[*core.KEY, *QUANTILES]] for frame in (forecasts, after)]
        known = own[0]["as_of_date"] <= origin
        pd.testing.assert_frame_equal(own[0][known], own[1][known])
    assert not own[0].equals(own[1])


def test_the_fit_of_a_fold_sees_no_price_of_the_fold(market, forecasts, fitted_on):
    prices, _ = market
    starts = [start for start, _ in forecasts.groupby(["fold_start", "fold_type"], sort=True).groups]
    for start, history in zip(starts, fitted_on, strict=True):
        before = np.log(prices.loc[prices["as_of_date"] < start, "close"].to_numpy())
        np.testing.assert_array_equal(history, before)


def test_a_second_call_computes_nothing_and_returns_the_same(market, forecasts, again):
    table, jobs = again(*market)
    assert jobs == []
    pd.testing.assert_frame_equal(table, forecasts)


def test_models_are_kept_for_folds_that_will_get_more_rows(forecasts, store):
    has_model = {
        (row.fold_type, row.fold_start.year, row.competitor): (
            store / "artifacts" / row.artifact_id / runner.MODEL
        ).exists()
        for row in forecasts.drop_duplicates("artifact_id").itertuples()
    }
    folds = {("oof", 2018): False, ("oof", 2019): True, ("live", 2019): True}
    assert has_model == {(*fold, competitor): stays for fold, stays in folds.items() for competitor in COMPETITORS}


def test_new_sessions_are_forecast_by_stored_models_and_equal_a_fresh_run(market, forecasts, again, tmp_path):
    prices, targets = _market(902)
    pd.testing.assert_frame_equal(prices.head(900), market[0])
    grown, jobs = again(prices, targets)
    assert jobs == [("forecast", f"core live 2019-06 {' '.join(COMPETITORS)}")]
    before = forecasts[[*ROW, "competitor", *QUANTILES]]
    kept = grown.merge(before[[*ROW, "competitor"]], on=[*ROW, "competitor"])
    pd.testing.assert_frame_equal(kept[before.columns], before)
    fresh, _ = _run(prices, targets, tmp_path / "fresh")
    pd.testing.assert_frame_equal(grown[[*core.KEY, *QUANTILES]], fresh[[*core.KEY, *QUANTILES]])


def test_a_revised_price_updates_every_forecast_that_read_it(market, again, tmp_path):
    prices = market[0].assign(close=market[0]["close"].where(market[0].index != 880, 44.0))
    table, jobs = again(prices, _targets(prices))
    # the live fold begins after the revised session, so both competitors are fitted on it
    assert jobs.trained == [f"core live 2019-06 {name}" for name in COMPETITORS]
    assert jobs.forecast == ["core oof 2019-01 autogluon_timeseries", f"core live 2019-06 {' '.join(COMPETITORS)}"]
    fresh, _ = _run(prices, _targets(prices), tmp_path / "fresh")
    pd.testing.assert_frame_equal(table[[*core.KEY, *QUANTILES]], fresh[[*core.KEY, *QUANTILES]])


@pytest.mark.parametrize("step", [core.FIT, core.FORECAST], ids=["fit", "forecast"])
def test_if_autogluon_fails_its_rows_have_the_reason_and_the_reference_is_kept(
    monkeypatch, market, forecasts, tmp_path, step
):
    def fails(contest, folder):
        raise RuntimeError("AutoGluon did not fit Naive")

    if step is core.FORECAST:
        monkeypatch.setitem(core.FIT, "autogluon_timeseries", lambda contest, folder: {"fit_seconds": 0.0})
    monkeypatch.setitem(step, "autogluon_timeseries", fails)
    table, _ = _run(*market, tmp_path)
    failed = _of(table, "autogluon_timeseries")
    assert set(failed["status"]) == {"failed"}
    assert set(failed["reason"]) == {"RuntimeError: AutoGluon did not fit Naive"}
    assert failed[QUANTILES].isna().all(axis=None)
    pd.testing.assert_frame_equal(_of(table, "reference")[QUANTILES], _of(forecasts, "reference")[QUANTILES])


def test_a_too_short_history_is_refused(market, tmp_path):
    prices, targets = market
    early = targets["as_of_date"].drop_duplicates().head(400)
    with pytest.raises(TournamentError, match="needs at least 756 sessions"):
        _run(prices.head(400), targets[targets["as_of_date"].isin(early)], tmp_path)

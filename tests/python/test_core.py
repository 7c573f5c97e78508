"""The core forecaster on a simulated random walk: honest about the past, silent about the future."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast import core, settings, workers
from zl_forecast.errors import TournamentError

QUANTILES = list(settings.QUANTILE_COLUMNS)
HORIZONS = (5, 20)
SIGMA = 0.01


def _market(n_sessions: int = 900, seed: int = 5) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Prices of a random walk without drift around 45 c/lb, and the targets that belong to them."""
    days = pd.bdate_range("2016-01-04", periods=n_sessions)
    log_price = np.log(45) + np.cumsum(np.random.default_rng(seed).normal(0, SIGMA, n_sessions))
    prices = pd.DataFrame({"as_of_date": days, "close": np.exp(log_price)})
    return prices, _targets(prices)


def _targets(prices: pd.DataFrame) -> pd.DataFrame:
    days, log_price = pd.DatetimeIndex(prices["as_of_date"]), np.log(prices["close"].to_numpy())
    beyond = days.append(pd.bdate_range(days[-1], periods=max(HORIZONS) + 1)[1:])
    frames = []
    for horizon in HORIZONS:
        scale = SIGMA * np.sqrt(horizon)
        change = np.append(log_price[horizon:] - log_price[:-horizon], np.full(horizon, np.nan))
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": days,
                    "horizon_days": horizon,
                    "target_date": beyond[horizon : horizon + len(days)],
                    "scale": scale,
                    "z": change / scale,
                    "is_matured": np.isfinite(change),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def _run(prices: pd.DataFrame, targets: pd.DataFrame, folder, live_from=None) -> tuple[pd.DataFrame, list[str]]:
    """Forecasts, and the blocks that were fitted for them."""
    fitted = []
    live_from = live_from or prices["as_of_date"].max().to_period("M").start_time

    def here(work, tasks):
        for task in tasks:
            fitted.append(str(task))
            yield task, work(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", here)
        patch.setattr(core, "MODELS", {"Naive": {"n_jobs": 1}})
        return core.run_core(prices, targets, pd.DataFrame({"live_from": [live_from]})), fitted


@pytest.fixture(scope="module")
def market():
    return _market()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("core")


@pytest.fixture(scope="module")
def forecasts(market, folder):
    return _run(*market, folder)[0]


def _of(forecasts: pd.DataFrame, family: str) -> pd.DataFrame:
    return forecasts[forecasts["family"] == family].sort_values(["kind", *core.KEY], ignore_index=True)


def test_core_and_reference_forecast_every_row_of_every_block(market, forecasts):
    _, targets = market
    newest = targets["as_of_date"].dt.to_period("M") == targets["as_of_date"].max().to_period("M")
    history = (targets["as_of_date"] >= "2018-01-01") & ~newest
    for family in ("autogluon_timeseries", "reference"):
        own = _of(forecasts, family)
        assert len(own) == history.sum() + newest.sum()
        assert not own.duplicated(["kind", *core.KEY]).any()
        assert np.isfinite(own[QUANTILES]).all(axis=None)


def test_quantiles_ascend(forecasts):
    assert (np.diff(forecasts[QUANTILES], axis=1) >= 0).all()


def test_the_median_of_a_random_walk_stays_near_the_last_price(forecasts):
    assert _of(forecasts, "autogluon_timeseries")["q50"].abs().max() < 0.2  # of one standard deviation


def test_the_band_of_a_random_walk_is_about_as_wide_as_it_should_be(market, forecasts):
    own = _of(forecasts, "autogluon_timeseries")
    assert (own["q90"] - own["q10"]).mean() == pytest.approx(2 * 1.2816, rel=0.15)
    inside = own.merge(market[1].dropna(), on=core.KEY).eval("q10 <= z <= q90").mean()
    assert 0.7 < inside < 0.9


def test_reference_rows_are_the_centred_quantiles_of_what_had_matured_before_the_block(market, forecasts):
    _, targets = market
    own = _of(forecasts, "reference")
    for (until, horizon), rows in own.groupby(["trained_until", "horizon_days"]):
        z = targets.loc[(targets["horizon_days"] == horizon) & (targets["target_date"] < until), "z"]
        expected = np.quantile(z, settings.QUANTILE_LEVELS) - np.median(z)
        np.testing.assert_allclose(rows[QUANTILES], np.tile(expected, (len(rows), 1)))
    assert (own["q50"] == 0).all()


def test_prices_after_an_origin_change_nothing_in_its_forecasts(market, forecasts, folder):
    prices, _ = market
    origin = prices["as_of_date"].iloc[700]  # in the middle of a block
    shaken = prices.copy()
    later = shaken["as_of_date"] > origin
    shaken.loc[later, "close"] *= np.exp(np.random.default_rng(6).normal(0, 0.3, later.sum()))
    again, _ = _run(shaken, _targets(shaken), folder)
    for family in ("autogluon_timeseries", "reference"):
        before, after = _of(forecasts, family), _of(again, family)
        known = before["as_of_date"] <= origin
        pd.testing.assert_frame_equal(
            before.loc[known, [*core.KEY, *QUANTILES]], after.loc[known, [*core.KEY, *QUANTILES]]
        )
    assert not _of(forecasts, "autogluon_timeseries")[QUANTILES].equals(_of(again, "autogluon_timeseries")[QUANTILES])


def test_the_fit_of_a_block_sees_no_price_of_the_block(monkeypatch, market, tmp_path):
    prices, targets = market
    histories = []

    def spy(log_prices, origins, length, original=core._items):
        items = original(log_prices, origins, length)
        if len(origins) == 1:  # the history that a predictor is fitted on; origins to forecast from are many
            histories.append(items["target"].to_numpy())
        return items

    monkeypatch.setattr(core, "_items", spy)
    forecasts, fitted = _run(prices, targets, tmp_path)
    starts = [start for start, _ in forecasts.groupby(["fold_start", "kind"], sort=True).groups]
    assert len(histories) == len(fitted) == len(starts)
    for start, history in zip(starts, histories, strict=True):
        before = np.log(prices.loc[prices["as_of_date"] < start, "close"].to_numpy())
        np.testing.assert_array_equal(history, before)


def test_a_second_call_fits_nothing_and_says_the_same(market, tmp_path):
    forecasts, _ = _run(*market, tmp_path)
    again, fitted = _run(*market, tmp_path)
    assert fitted == []
    pd.testing.assert_frame_equal(again, forecasts)


def test_a_new_session_makes_only_the_blocks_that_grow_again(market, forecasts, tmp_path):
    prices, targets = _market(901)
    pd.testing.assert_frame_equal(prices.head(900), market[0])
    _run(*market, tmp_path)
    again, fitted = _run(prices, targets, tmp_path)
    assert fitted == ["core live 2019-06"]
    before = _of(forecasts, "autogluon_timeseries")
    after = _of(again, "autogluon_timeseries").merge(before[["kind", *core.KEY]], on=["kind", *core.KEY])
    pd.testing.assert_frame_equal(before[[*core.KEY, *QUANTILES]], after[[*core.KEY, *QUANTILES]])


def test_a_new_session_alone_is_forecast_as_it_would_be_with_all_the_others(monkeypatch, market, tmp_path):
    _run(*market, tmp_path / "grown")
    prices, targets = _market(902)
    seen = []
    monkeypatch.setattr(
        core, "_forecast", lambda task, original=core._forecast: seen.append(len(task.origins)) or original(task)
    )
    grown, _ = _run(prices, targets, tmp_path / "grown")
    assert seen == [2]
    fresh, _ = _run(prices, targets, tmp_path / "fresh")
    pd.testing.assert_frame_equal(grown[[*core.KEY, *QUANTILES]], fresh[[*core.KEY, *QUANTILES]])


def test_a_revised_price_is_forecast_from_again_wherever_it_was_seen(monkeypatch, market, tmp_path):
    _run(*market, tmp_path)
    revised = market[0].assign(close=market[0]["close"].where(market[0].index != 880, 44.0))
    seen = {}
    monkeypatch.setattr(
        core,
        "_forecast",
        lambda task, original=core._forecast: seen.update({str(task): task.origins}) or original(task),
    )
    _run(revised, _targets(revised), tmp_path)
    # the live block begins after the revised session and is fitted on it
    assert seen == {"core oof 2019-01": tuple(range(880, 890)), "core live 2019-06": tuple(range(890, 900))}


def test_a_history_too_short_is_refused(market, tmp_path):
    prices, targets = market
    early = targets["as_of_date"].drop_duplicates().head(400)
    with pytest.raises(TournamentError, match="needs at least 756 sessions"):
        _run(prices.head(400), targets[targets["as_of_date"].isin(early)], tmp_path)

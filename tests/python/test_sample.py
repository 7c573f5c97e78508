"""The simulated market: its contract, its worlds, and an oracle that is right about them."""

import json
import os

import numpy as np
import pandas as pd
import pytest

from zl_forecast.errors import LandingError
from zl_forecast.landing.contract import TABLES, read_table
from zl_forecast.landing.folder import LandingFolder
from zl_forecast.sample import WORLDS, NoTruth, UnknownWorld, simulate, true_quantiles, write_landing
from zl_forecast.sample.market import BREAK_ON, SYMBOLS

PINBALL_LEVELS = np.array([0.1, 0.5, 0.9])
COT_POSITIONS = ("NONCOMM_LONG", "NONCOMM_SHORT", "NONCOMM_NET")
FOLLOWS_ZL = {
    "bars": {"ZL", "ZM", "ZS"},
    "series": {f"COT_LEG_FUT_{m}_{p}" for m in ("007601", "005602", "026603") for p in COT_POSITIONS}
    | {"WB_SOYBEAN_OIL", "WB_PALM_OIL", "WB_RAPESEED_OIL"},
}


@pytest.fixture(scope="module")
def markets():
    return {world: simulate(world) for world in WORLDS}


@pytest.fixture(scope="module")
def short():
    return simulate("planted", end="2014-06-18")


@pytest.fixture(scope="module")
def scores(markets):
    return {world: _oracle_scores(market) for world, market in markets.items()}


def _closes(market, column="close"):
    return market.bars.pivot(index="as_of_date", columns="symbol", values=column)


def _ewma_vol(market):
    """RiskMetrics volatility, decay 0.97, of ZL returns without roll steps; indexed by session."""
    returns = market.latent["log_close"].diff().mask(market.rolls["ZL"].reindex(market.latent.index))
    return np.sqrt((returns**2).ewm(alpha=0.03, ignore_na=True).mean())


def _oracle_scores(market, horizons=(5, 20)):
    """Weekly: the oracle's gain in mean pinball over a scaled random walk, and its 80 % coverage."""
    origins = market.latent.index[300:-21:5]
    truth = true_quantiles(market, origins, horizons, PINBALL_LEVELS, paths=1000)
    log_close = market.latent["log_close"]
    scores = {}
    for horizon in horizons:
        realised = log_close.shift(-horizon) - log_close
        scale = _ewma_vol(market) * np.sqrt(horizon)
        z = np.quantile((realised / scale).iloc[252:].dropna(), PINBALL_LEVELS)
        reference = scale[origins].to_numpy()[:, None] * (z - z[1])
        oracle = truth[truth["horizon_days"] == horizon]["log_return_quantile"].to_numpy().reshape(-1, 3)
        y = realised[origins].to_numpy()
        inside = (y > oracle[:, 0]) & (y < oracle[:, 2])
        scores[horizon] = {
            "gain": 1 - _pinball(y, oracle) / _pinball(y, reference),
            "coverage": inside.mean(),
        }
    return scores


def _pinball(y, quantiles):
    error = y[:, None] - quantiles
    return np.maximum(PINBALL_LEVELS * error, (PINBALL_LEVELS - 1) * error).mean()


# ---------------------------------------------------------------- the same arguments, the same market


def test_same_arguments_give_the_same_market(short):
    again = simulate("planted", end="2014-06-18")
    for table in ("bars", "series", "policy_events", "latent"):
        pd.testing.assert_frame_equal(getattr(short, table), getattr(again, table), check_exact=True)


def test_another_seed_gives_another_market(short):
    other = simulate("planted", seed=6, end="2014-06-18")
    assert not np.allclose(other.latent["log_close"].iloc[1:], short.latent["log_close"].iloc[1:])


def test_an_earlier_end_gives_the_beginning_of_the_longer_market(markets, short):
    long, end = markets["planted"], short.latent.index[-1]
    for table, known in (
        ("bars", "as_of_date"),
        ("series", "available_on"),
        ("policy_events", "available_on"),
    ):
        whole = getattr(long, table)
        beginning = whole[whole[known] <= end].reset_index(drop=True)
        pd.testing.assert_frame_equal(beginning, getattr(short, table).reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(long.latent.loc[:end], short.latent, check_exact=True)


def test_an_unknown_world_is_refused_with_the_worlds_there_are():
    with pytest.raises(UnknownWorld, match=r"no simulated world 'bull'.*'planted'.*'random_walk'"):
        simulate("bull")


# ---------------------------------------------------------------- the landing contract


def test_the_landing_reader_accepts_the_files(short, tmp_path):
    write_landing(short, tmp_path / "sample")
    folder = LandingFolder(tmp_path / "sample", "simulated")
    for name, table in (
        ("bars_daily", short.bars),
        ("series", short.series),
        ("policy_events", short.policy_events),
    ):
        read = read_table(name, folder)
        assert read.num_rows == len(table)
        assert list(table.columns) == list(TABLES[name].columns)


@pytest.mark.parametrize("world", WORLDS)
def test_the_zl_of_every_world_passes_the_landing_check_to_its_end(markets, world, tmp_path):
    bars = markets[world].bars
    bars[bars["symbol"] == "ZL"].to_parquet(tmp_path / "bars_daily.parquet")
    assert read_table("bars_daily", LandingFolder(tmp_path, "simulated")).num_rows > 3_000


def test_every_symbol_and_series_of_the_contract_is_there(markets):
    market = markets["planted"]
    assert set(market.bars["symbol"]) == set(SYMBOLS)
    for prefix, count in {"ECB_EUR": 9, "COT_LEG_FUT_": 12, "EPA_RIN_": 2, "WASDE_": 12, "WB_": 3}.items():
        ids = market.series["series_id"]
        assert ids[ids.str.startswith(prefix)].nunique() == count
    assert market.bars["volume"].dtype == market.bars["contract_id"].dtype == "int64"
    assert not market.bars.isna().any().any()
    assert not market.series.isna().any().any()


def test_bars_are_consistent(markets):
    for market in markets.values():
        bars = market.bars
        assert (bars["low"] <= bars[["open", "close"]].min(axis=1)).all()
        assert (bars["high"] >= bars[["open", "close"]].max(axis=1)).all()
        assert (bars["low"] > 0).all()
        assert (bars["volume"] > 0).all()


def test_the_range_of_a_day_tells_its_true_volatility(markets):
    market = markets["random_walk"]
    bars = market.bars[market.bars["symbol"] == "ZL"].set_index("as_of_date")
    true_vol = np.exp(market.latent["log_vol"].shift(1)).reindex(bars.index)
    parkinson = np.log(bars["high"] / bars["low"]) / np.sqrt(4 * np.log(2))
    # the range leaves the overnight move out: 0.85 of the variance
    assert np.sqrt((parkinson**2 / true_vol**2).mean()) == pytest.approx(np.sqrt(0.85), abs=0.08)


def test_a_contract_rolls_with_a_small_step_that_is_not_a_return(markets):
    market = markets["planted"]
    bars = market.bars[market.bars["symbol"] == "ZL"].set_index("as_of_date")
    rolled = bars["contract_id"].diff().fillna(0) != 0
    assert (bars["contract_id"].diff().dropna() >= 0).all()
    expected = market.rolls["ZL"].reindex(bars.index)
    assert (rolled == expected).mean() > 0.998  # a missing day may hide the roll until the next
    assert 7 <= rolled.groupby(bars.index.year).sum().mean() <= 8


def test_few_days_are_missing_and_fewest_in_the_grains(markets):
    closes = _closes(markets["planted"])
    missing = closes.isna().sum()
    assert 1 <= missing["ZL"] <= 6
    assert missing.max() <= 0.01 * len(closes)


@pytest.mark.parametrize(
    ("series", "days"),
    [
        ("EPA_RIN_", 35),
        ("COT_LEG_FUT_", 3),
        ("GPRD", 7),
        ("STLFSI4", 6),
        ("DTWEXBGS", 7),
        ("VIXCLS", 0),
        ("WASDE_", 0),
    ],
)
def test_a_series_becomes_known_with_its_publishers_lag(markets, series, days):
    table = markets["planted"].series
    rows = table[table["series_id"].str.startswith(series)]
    assert set((rows["available_on"] - rows["obs_date"]).dt.days) == {days}


def test_nothing_is_known_before_it_happens_nor_after_the_end(markets):
    for market in markets.values():
        assert (market.series["available_on"] >= market.series["obs_date"]).all()
        assert (market.policy_events["available_on"] >= market.policy_events["event_date"]).all()
        assert market.series["available_on"].max() <= pd.Timestamp(market.end)


def test_positions_are_counted_on_tuesday_and_add_up(markets):
    table = markets["planted"].series
    cot = table[table["series_id"].str.startswith("COT_LEG_FUT_007601")]
    assert set(cot["obs_date"].dt.day_name()) == {"Tuesday"}
    assert set(cot["available_on"].dt.day_name()) == {"Friday"}
    wide = cot.pivot(index="obs_date", columns="series_id", values="value")
    wide.columns = wide.columns.str.removeprefix("COT_LEG_FUT_007601_")
    assert (wide["NONCOMM_LONG"] - wide["NONCOMM_SHORT"] == wide["NONCOMM_NET"]).all()
    assert (wide[["NONCOMM_LONG", "NONCOMM_SHORT"]].max(axis=1) < wide["OI"]).all()


def test_some_values_are_revised_later_and_keep_both_vintages(markets):
    table = markets["planted"].series
    vintages = table.groupby(["series_id", "obs_date"])["available_on"].nunique()
    revised = set(vintages[vintages > 1].index.get_level_values("series_id"))
    assert revised == {"NFCI", "WB_PALM_OIL", "WB_RAPESEED_OIL", "WB_SOYBEAN_OIL"}


def test_events_say_that_they_are_simulated(markets):
    events = markets["planted"].policy_events
    assert events["title"].str.startswith("Simulated").all()
    assert events["bucket"].value_counts().between(8, 45).all()


# ---------------------------------------------------------------- it looks like the market it stands for


@pytest.mark.parametrize("world", WORLDS)
def test_prices_and_crush_stay_plausible(markets, world):
    close = _closes(markets[world])
    assert close["ZL"].dropna().between(15, 170 if world == "broken" else 100).all()
    board_crush = close["ZM"] * 0.022 + close["ZL"] * 0.11 - close["ZS"] / 100
    assert board_crush.dropna().between(0.4, 9 if world == "broken" else 4.5).all()
    assert 0.5 < board_crush.median() < 3


def test_shocks_correlate_on_the_same_day(markets):
    correlation = np.log(_closes(markets["random_walk"])).diff().corr()["ZL"]
    assert correlation["CL"] == pytest.approx(0.3, abs=0.06)
    assert correlation["6L"] == pytest.approx(0.2, abs=0.06)
    assert 0.5 < correlation["ZS"] < 0.85


def test_the_worlds_differ_only_in_zl_and_what_follows_it(markets):
    planted, random_walk = markets["planted"], markets["random_walk"]
    for table, name in (("bars", "symbol"), ("series", "series_id")):
        ours, theirs = (
            dict(list(getattr(planted, table).groupby(name))),
            dict(list(getattr(random_walk, table).groupby(name))),
        )
        differ = {key for key in ours if not np.array_equal(ours[key].to_numpy(), theirs[key].to_numpy())}
        assert differ == FOLLOWS_ZL[table]
    assert planted.policy_events.equals(random_walk.policy_events)
    assert planted.latent[["log_vol", "momentum"]].equals(random_walk.latent[["log_vol", "momentum"]])


def test_the_broken_world_is_the_planted_one_until_crude_turns_against_it(markets):
    planted, broken = (_closes(markets[world]) for world in ("planted", "broken"))
    turns = planted.index < BREAK_ON
    pd.testing.assert_frame_equal(planted[turns], broken[turns])
    assert not np.allclose(planted["ZL"][~turns], broken["ZL"][~turns])
    latent = markets["broken"].latent
    pushed = latent["log_close"].diff().shift(-1).div(np.exp(latent["log_vol"])) + 0.06 * latent["gap"] / np.exp(
        latent["log_vol"]
    )
    for half, sign in ((latent.index < BREAK_ON, 1), (latent.index >= BREAK_ON, -1)):
        slope = np.polyfit(latent["momentum"][half][:-1], pushed[half][:-1], 1)[0]
        assert slope == pytest.approx(0.25 * sign, abs=0.12)


# ---------------------------------------------------------------- the oracle


def test_the_oracle_beats_a_scaled_random_walk_where_drivers_are_planted(scores):
    assert scores["planted"][5]["gain"] > 0.05
    assert scores["planted"][20]["gain"] > 0.05
    assert scores["broken"][20]["gain"] > 0.05


def test_not_even_the_oracle_gains_where_nothing_drives_zl(scores):
    assert abs(scores["random_walk"][5]["gain"]) < 0.015
    assert abs(scores["random_walk"][20]["gain"]) < 0.015


@pytest.mark.parametrize("world", WORLDS)
def test_the_oracles_80_percent_band_holds_80_percent(scores, world):
    assert scores[world][5]["coverage"] == pytest.approx(0.8, abs=0.04)
    assert scores[world][20]["coverage"] == pytest.approx(0.8, abs=0.06)


def test_one_step_ahead_the_oracle_agrees_with_the_closed_form(short):
    """But for the rare jumps the law of the next return is normal around the drift."""
    from zl_forecast.sample import PLANTED

    dates = short.latent.index[[100, 200, 300]]
    state = short.latent.loc[dates]
    truth = true_quantiles(short, dates, horizons=[1], levels=[0.1, 0.5, 0.9], paths=40_000)
    quantiles = truth["log_return_quantile"].to_numpy().reshape(3, 3)
    vol = np.exp(state["log_vol"]).to_numpy()
    drift = -PLANTED["crush"] * state["gap"].to_numpy() + PLANTED["energy"] * vol * state["momentum"].to_numpy()
    np.testing.assert_allclose(quantiles[:, 1], drift, atol=0.03 * vol.max())
    np.testing.assert_allclose((quantiles[:, 2] - quantiles[:, 0]) / (2 * 1.2816 * vol), 1.0, atol=0.06)


def test_the_oracle_refuses_a_date_that_is_no_session(short):
    with pytest.raises(NoTruth, match="1 of 1 dates are no sessions of this market, first 2013-12-25"):
        true_quantiles(short, ["2013-12-25"])


# ---------------------------------------------------------------- writing


def test_writing_twice_writes_once(short, tmp_path):
    folder = tmp_path / "deep" / "sample"
    write_landing(short, folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_landing(short, folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads((folder / "SIMULATED.json").read_text())["world"] == "planted"


def test_another_simulated_market_replaces_the_first_and_leaves_nothing_beside(short, tmp_path):
    write_landing(short, tmp_path / "sample")
    write_landing(simulate("random_walk", end="2013-03-28"), tmp_path / "sample")
    assert json.loads((tmp_path / "sample" / "SIMULATED.json").read_text())["world"] == "random_walk"
    assert os.listdir(tmp_path) == ["sample"]


def test_a_write_that_fails_leaves_the_old_files_as_they_were(short, tmp_path, monkeypatch):
    write_landing(short, tmp_path / "sample")
    before = {path.name: path.read_bytes() for path in (tmp_path / "sample").iterdir()}
    other = simulate("random_walk", end="2013-03-28")
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_landing(other, tmp_path / "sample")
    assert {path.name: path.read_bytes() for path in (tmp_path / "sample").iterdir()} == before
    assert os.listdir(tmp_path) == ["sample"]


def test_a_folder_with_other_files_is_left_alone(short, tmp_path):
    (tmp_path / "bars_daily.parquet").write_text("real data")
    with pytest.raises(LandingError, match="not a simulated market's, first bars_daily"):
        write_landing(short, tmp_path)
    assert (tmp_path / "bars_daily.parquet").read_text() == "real data"

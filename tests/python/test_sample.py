"""The simulated market: the landing contract, its worlds, and the oracle with the true distributions."""

import json
import os
from dataclasses import replace

import duckdb
import numpy as np
import pandas as pd
import pytest
from pandas_market_calendars import get_calendar

from zl_forecast.errors import LandingError
from zl_forecast.landing.contract import TABLES, read_table
from zl_forecast.landing.folder import LandingFolder
from zl_forecast.sample import PLANTED, WORLDS, NoTruth, UnknownWorld, simulate, true_quantiles, write_landing
from zl_forecast.sample.market import BREAK_ON, SYMBOLS

PINBALL_LEVELS = np.array([0.1, 0.5, 0.9])
COT_POSITIONS = ("NONCOMM_LONG", "NONCOMM_SHORT", "NONCOMM_NET")
FOLLOWS_ZL = {
    "bars": {"ZL", "ZM", "ZS"},
    "series": {f"COT_LEG_FUT_{m}_{p}" for m in ("007601", "005602", "026603") for p in COT_POSITIONS}
    | {"WB_SOYBEAN_OIL", "WB_PALM_OIL", "WB_RAPESEED_OIL"},
}


GRAINS, ENERGY_AND_METALS, EQUITY_AND_FX = "CMEGlobex_Grains", "CMEGlobex_EnergyAndMetals", "CME Globex Equity"
CALENDARS = {
    GRAINS: ("ZL", "ZM", "ZS", "ZC", "ZW"),
    ENERGY_AND_METALS: ("CL", "BZ", "HO", "RB", "NG", "HG", "GC"),
    EQUITY_AND_FX: ("ES", "6A", "6B", "6C", "6E", "6J", "6L", "6M"),
    "CME_Rate": ("ZT", "ZF", "ZN", "ZQ"),
    "CMEGlobex_Lean_Hog": ("HE",),
}
LISTED = {  # delivery months by the exchange's rules
    "ZL": (1, 3, 5, 7, 8, 9, 10, 12),
    "ZM": (1, 3, 5, 7, 8, 9, 10, 12),
    "ZS": (1, 3, 5, 7, 8, 9, 11),
    "ZC": (3, 5, 7, 9, 12),
    "CL": tuple(range(1, 13)),
    "HO": tuple(range(1, 13)),
}
PLAUSIBLE = {  # lowest and highest close, and the range of the median yearly volatility
    "ZL": (20, 80, 0.22, 0.35),
    "ZM": (130, 700, 0.20, 0.35),
    "ZS": (450, 2000, 0.15, 0.30),
    "ZC": (200, 1000, 0.20, 0.35),
    "ZW": (250, 1400, 0.22, 0.38),
    "HE": (30, 160, 0.20, 0.38),
    "CL": (15, 160, 0.28, 0.45),
    "BZ": (15, 170, 0.28, 0.45),
    "HO": (0.5, 5, 0.28, 0.48),
    "RB": (0.4, 5, 0.28, 0.50),
    "NG": (0.8, 14, 0.40, 0.62),
    "HG": (1.3, 7, 0.15, 0.30),
    "GC": (700, 3500, 0.10, 0.22),
    "ES": (600, 8000, 0.10, 0.25),
    "6A": (0.45, 1.15, 0.07, 0.16),
    "6B": (1.0, 2.1, 0.06, 0.15),
    "6C": (0.6, 1.1, 0.05, 0.13),
    "6E": (0.8, 1.6, 0.05, 0.13),
    "6J": (0.006, 0.014, 0.06, 0.14),
    "6L": (0.12, 0.40, 0.11, 0.24),
    "6M": (0.03, 0.09, 0.08, 0.18),
    "ZT": (100, 115, 0.003, 0.02),
    "ZF": (105, 130, 0.01, 0.05),
    "ZN": (100, 145, 0.03, 0.08),
    "ZQ": (92, 100, 0.0, 0.02),
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
    """Compute RiskMetrics volatility, decay 0.97, of ZL returns without roll steps, by session."""
    returns = market.latent["log_close"].diff().mask(market.rolls["ZL"].reindex(market.latent.index) > 0)
    return np.sqrt((returns**2).ewm(alpha=0.03, ignore_na=True).mean())


def _oracle_scores(market, horizons=(5, 20)):
    """Compute weekly the oracle's pinball skill against a scaled random walk, and its 80 % coverage."""
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
            "skill": 1 - _pinball(y, oracle) / _pinball(y, reference),
            "coverage": inside.mean(),
        }
    return scores


def _yearly_volatility(market, symbol):
    """Compute the realised volatility of daily log returns within contracts, per calendar year."""
    bars = market.bars[market.bars["symbol"] == symbol].set_index("as_of_date")
    rolled = bars["contract_id"].diff() != 0
    return np.log(bars["close"]).diff().mask(rolled).groupby(bars.index.year).std() * np.sqrt(252)


def _pinball(y, quantiles):
    error = y[:, None] - quantiles
    return np.maximum(PINBALL_LEVELS * error, (PINBALL_LEVELS - 1) * error).mean()


# ---------------------------------------------------------------- the same arguments, the same market


def test_same_arguments_give_the_same_market(short):
    again = simulate("planted", end="2014-06-18")
    for table in ("bars", "series", "policy_events", "curve", "latent"):
        pd.testing.assert_frame_equal(getattr(short, table), getattr(again, table), check_exact=True)


def test_another_seed_gives_another_market(short):
    other = simulate("planted", seed=6, end="2014-06-18")
    assert not np.allclose(other.latent["log_close"].iloc[1:], short.latent["log_close"].iloc[1:])


def test_a_market_with_an_earlier_end_is_the_start_of_the_longer_one(markets, short):
    long, end = markets["planted"], short.latent.index[-1]
    for table, known in (
        ("bars", "as_of_date"),
        ("series", "available_on"),
        ("policy_events", "available_on"),
        ("curve", "as_of_date"),
    ):
        whole = getattr(long, table)
        beginning = whole[whole[known] <= end].reset_index(drop=True)
        pd.testing.assert_frame_equal(beginning, getattr(short, table).reset_index(drop=True), check_exact=True)
    pd.testing.assert_frame_equal(long.latent.loc[:end], short.latent, check_exact=True)


def test_an_unknown_world_is_refused_with_the_known_ones():
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
def test_zl_of_every_world_passes_the_landing_check(markets, world, tmp_path):
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


def test_daily_ranges_match_the_true_volatility(markets):
    market = markets["random_walk"]
    bars = market.bars[market.bars["symbol"] == "ZL"].set_index("as_of_date")
    true_vol = np.exp(market.latent["log_vol"].shift(1)).reindex(bars.index)
    parkinson = np.log(bars["high"] / bars["low"]) / np.sqrt(4 * np.log(2))
    # the range excludes the overnight move: 0.95 of the variance
    assert np.sqrt((parkinson**2 / true_vol**2).mean()) == pytest.approx(np.sqrt(0.95), abs=0.08)


def test_a_roll_has_a_small_price_step_that_is_not_a_return(markets):
    market = markets["planted"]
    bars = market.bars[market.bars["symbol"] == "ZL"].set_index("as_of_date")
    rolled = bars["contract_id"].diff().fillna(0) != 0
    assert (bars["contract_id"].diff().dropna() >= 0).all()
    expected = market.rolls["ZL"].reindex(bars.index) > 0
    assert (rolled == expected).mean() > 0.998  # a missing day may delay the visible roll
    assert 7 <= rolled.groupby(bars.index.year).sum().mean() <= 8


def test_few_sessions_are_missing_and_fewest_in_grains(markets):
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


def test_a_symbol_has_bars_on_sessions_of_its_own_exchange_only(markets):
    for calendar, symbols in CALENDARS.items():
        sessions = get_calendar(calendar).valid_days("2013-01-01", "2025-12-31").tz_localize(None)
        bars = markets["planted"].bars
        dates = bars.loc[bars["symbol"].isin(symbols), "as_of_date"]
        assert dates.isin(sessions).all(), calendar
    assert set().union(*CALENDARS.values()) == set(SYMBOLS)


def test_prices_lie_on_ticks(markets):
    ticks = markets["planted"].bars["symbol"].map({name: symbol.tick for name, symbol in SYMBOLS.items()})
    for column in ("open", "high", "low", "close"):
        counts = markets["planted"].bars[column] / ticks
        np.testing.assert_allclose(counts, counts.round(), atol=1e-3)  # a tick of 5e-7 is close to the ninth decimal


# ---------------------------------------------------------------- the curve


def test_the_curve_is_written_with_the_types_of_the_contract(short, tmp_path):
    write_landing(short, tmp_path / "sample")
    written = duckdb.read_parquet(str(tmp_path / "sample" / "curve_daily.parquet"))
    assert dict(zip(written.columns, map(str, written.types), strict=True)) == {
        "symbol": "VARCHAR",
        "as_of_date": "DATE",
        "contract_month": "DATE",
        "settle": "DOUBLE",
        "open_interest": "BIGINT",
    }
    assert len(written) == len(short.curve)


def test_the_curve_contains_the_next_deliveries_listed_by_the_exchange(markets):
    curve = markets["planted"].curve
    assert not curve.duplicated(["symbol", "as_of_date", "contract_month"]).any()
    assert (curve["contract_month"].dt.day == 1).all()
    for symbol, months in LISTED.items():
        rows = curve[curve["symbol"] == symbol]
        deliveries = sorted(rows["contract_month"].unique())
        assert set(pd.DatetimeIndex(deliveries).month) == set(months)
        position = (
            rows["contract_month"].map({month: i for i, month in enumerate(deliveries)}).to_numpy().reshape(-1, 8)
        )
        assert (np.diff(position, axis=1) == 1).all()  # eight consecutive deliveries
    assert set(curve["symbol"]) == set(LISTED)


def test_the_front_price_of_the_curve_equals_the_bar(markets):
    for market in markets.values():
        front = market.curve.drop_duplicates(["symbol", "as_of_date"])
        bars = market.bars[market.bars["symbol"].isin(LISTED)]
        both = front.merge(bars, on=["symbol", "as_of_date"], how="outer")
        assert (both["settle"] == both["close"]).all()
        assert (both["contract_id"] % 1_000_000 == both["contract_month"].dt.strftime("%Y%m").astype(int)).all()


@pytest.mark.parametrize("symbol", ["ZL", "CL"])
def test_the_step_at_a_roll_is_the_spread_of_the_session_before(markets, monkeypatch, symbol):
    """Without carry there are no roll steps, so the difference at a roll is the step that the curve showed."""
    flat = replace(SYMBOLS[symbol], carry=0.0)
    monkeypatch.setitem(SYMBOLS, symbol, flat)
    without = _closes(simulate("random_walk", end="2018-06-29"))[symbol]
    with_steps = _closes(markets["random_walk"])[symbol].reindex(without.index)
    stay = 0.5 ** (1 / flat.half_life) if symbol == "CL" else 1.0  # crude reverts to its anchor; ZL does not
    lead = np.log(with_steps / without)
    step = lead - stay * lead.shift(1)

    curve = markets["random_walk"].curve
    curve = curve[(curve["symbol"] == symbol) & curve["as_of_date"].isin(without.index)].set_index("as_of_date")
    settle = curve.groupby(level=0)["settle"]
    spread = np.log(settle.nth(1) / settle.nth(0))
    front = settle.nth(0)
    contract = curve.groupby(level=0)["contract_month"].first()
    rolled = contract.index[contract != contract.shift(1).fillna(contract.iloc[0])]
    before = spread.shift(1)[rolled]
    difference = (step[rolled] - before) * front[rolled]  # in price units
    assert len(rolled) > 40
    assert difference.abs().max() < 4 * flat.tick  # four prices are rounded
    assert (before.abs() * front[rolled]).max() > 30 * flat.tick  # the steps are far larger
    others = step.drop(rolled).dropna()
    assert (others.abs() * front.reindex(others.index)).max() < 3 * flat.tick


def test_spreads_turn_slowly_between_contango_and_backwardation(markets):
    curve = markets["planted"].curve
    for symbol in LISTED:
        settle = curve[curve["symbol"] == symbol].groupby("as_of_date")["settle"]
        slope = np.log(settle.nth(7).to_numpy() / settle.nth(0).to_numpy())
        assert 0.2 < (slope > 0).mean() < 0.8
        assert np.corrcoef(slope[:-5], slope[5:])[0, 1] > 0.9
        assert np.abs(slope).max() < 0.25


def test_open_interest_is_in_the_front_and_moves_on_before_it_rolls(markets):
    curve = markets["planted"].curve
    zl = curve[curve["symbol"] == "ZL"]
    interest = zl["open_interest"].to_numpy().reshape(-1, 8)
    delivery = zl["contract_month"].to_numpy().reshape(-1, 8)[:, 0]
    last_days = np.append(delivery[1:] != delivery[:-1], False)
    assert (interest[last_days, 1] > interest[last_days, 0]).all()
    early = ~np.convolve(last_days, np.ones(15), mode="full")[14:].astype(bool)  # no roll within 15 sessions
    assert (interest[early].argmax(axis=1) == 0).all()
    assert 0.25 < np.median(interest[early, 0] / interest[early].sum(axis=1)) < 0.7
    assert (interest > 0).all()


# ---------------------------------------------------------------- resemblance to the real market


@pytest.mark.parametrize("world", WORLDS)
def test_zl_looks_like_soybean_oil(markets, world):
    """Volatility of about 30 % per year, between 20 and 80 cents/lb, and no loss of half within half a year."""
    close = _closes(markets[world])["ZL"].dropna()
    assert close.between(20, 80).all()
    half_year_high = close.rolling(126, min_periods=1).max()
    assert (close / half_year_high - 1).min() > -0.45
    volatility = _yearly_volatility(markets[world], "ZL")
    assert volatility.between(0.2, 0.45).all()
    assert 0.25 < volatility.median() < 0.35


@pytest.mark.parametrize("world", WORLDS)
def test_the_crush_margin_stays_plausible(markets, world):
    close = _closes(markets[world])
    board_crush = close["ZM"] * 0.022 + close["ZL"] * 0.11 - close["ZS"] / 100
    assert board_crush.dropna().between(0.3, 6).all()
    assert 0.8 < board_crush.median() < 2.5


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_every_symbol_has_prices_in_its_contracts_historical_range(markets, symbol):
    low, high, calm, wild = PLAUSIBLE[symbol]
    for market in markets.values():
        assert _closes(market)[symbol].dropna().between(low, high).all()
        volatility = _yearly_volatility(market, symbol)
        assert calm < volatility.median() < wild
        assert volatility.max() < 2 * wild


def test_shocks_correlate_on_the_same_day(markets):
    correlation = np.log(_closes(markets["random_walk"])).diff().corr()["ZL"]
    assert correlation["CL"] == pytest.approx(0.3, abs=0.06)
    assert correlation["6L"] == pytest.approx(0.2, abs=0.06)
    assert 0.5 < correlation["ZS"] < 0.85


def test_worlds_differ_only_in_zl_and_series_derived_from_it(markets):
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


def test_the_broken_world_equals_the_planted_one_until_the_break(markets):
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


def test_with_planted_drivers_the_oracle_beats_a_scaled_random_walk(scores):
    assert scores["planted"][5]["skill"] > 0.05
    assert scores["planted"][20]["skill"] > 0.05
    assert scores["broken"][20]["skill"] > 0.05


def test_without_drivers_the_oracle_has_no_skill(scores):
    assert abs(scores["random_walk"][5]["skill"]) < 0.015
    assert abs(scores["random_walk"][20]["skill"]) < 0.015


@pytest.mark.parametrize("world", WORLDS)
def test_the_oracles_80_percent_band_covers_80_percent(scores, world):
    assert scores[world][5]["coverage"] == pytest.approx(0.8, abs=0.04)
    assert scores[world][20]["coverage"] == pytest.approx(0.8, abs=0.06)


def test_one_step_ahead_the_oracle_agrees_with_the_closed_form(short):
    """Without the rare jumps the next return is normal around the drift and, before a roll, the step."""
    months = short.rolls["ZL"].shift(-1).reindex(short.latent.index)
    eve = short.latent["oil_carry"].abs().where(months > 0).idxmax()
    dates = short.latent.index[[100, 200, 300]].append(pd.DatetimeIndex([eve]))
    state = short.latent.loc[dates]
    truth = true_quantiles(short, dates, horizons=[1], levels=[0.1, 0.5, 0.9], paths=40_000)
    quantiles = truth["log_return_quantile"].to_numpy().reshape(4, 3)
    vol = np.exp(state["log_vol"]).to_numpy()
    drift = -PLANTED["crush"] * state["gap"].to_numpy() + PLANTED["energy"] * vol * state["momentum"].to_numpy()
    step = (months[dates] * state["oil_carry"]).to_numpy()
    assert abs(step[3]) > 0.2 * vol[3]
    np.testing.assert_allclose(quantiles[:, 1], drift + step, atol=0.03 * vol.max())
    np.testing.assert_allclose((quantiles[:, 2] - quantiles[:, 0]) / (2 * 1.2816 * vol), 1.0, atol=0.06)


def test_far_ahead_the_oracle_agrees_with_the_expected_path(markets):
    """Without shocks the model is a linear recursion of oil, meal, momentum and carries."""
    market, horizon = markets["planted"], 60
    meal = market.latent["log_close"] - np.log(42) - market.latent["gap"]  # above its usual price
    # origins at which mostly meal's reversion is expected
    calm = meal[:-horizon][(market.latent["momentum"].abs() < 0.3) & (market.latent["gap"].abs() < 0.05)]
    dates = pd.DatetimeIndex([calm.idxmin(), calm.idxmax()])
    truth = true_quantiles(market, dates, horizons=[horizon], levels=[0.1, 0.5, 0.9])
    quantiles = truth["log_return_quantile"].to_numpy().reshape(2, 3)
    for date, (low, median, high) in zip(dates, quantiles, strict=True):
        state, rolls = market.latent.loc[date], market.rolls.loc[date:].iloc[1:]
        start = state["log_close"] - np.log(42)
        oil, other, vol = start, start - state["gap"], np.exp(state["log_vol"])
        for ahead in range(horizon):
            gap, carry = oil - other, 0.5 ** (ahead / 60)
            trend = 0.25 * vol * 0.93**ahead * state["momentum"]
            oil += -0.06 * gap + trend + rolls["ZL"].iloc[ahead] * carry * state["oil_carry"]
            other += 0.005 * gap - (1 - 0.5 ** (1 / 80)) * other + trend
            other += rolls["ZM"].iloc[ahead] * carry * state["meal_carry"]
        assert median == pytest.approx(oil - start, abs=0.05 * (high - low))
        assert abs(oil - start) > 0.1 * (high - low)  # the expected move is not negligible


def test_the_oracle_refuses_a_date_that_is_not_a_session(short):
    with pytest.raises(NoTruth, match="1 of 1 dates are not sessions of this market, first 2013-12-25"):
        true_quantiles(short, ["2013-12-25"])


# ---------------------------------------------------------------- writing


def test_writing_an_unchanged_market_twice_writes_once(short, tmp_path):
    folder = tmp_path / "deep" / "sample"
    write_landing(short, folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    write_landing(short, folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert json.loads((folder / "SIMULATED.json").read_text())["world"] == "planted"


def test_another_simulated_market_replaces_all_files_of_the_first(short, tmp_path):
    write_landing(short, tmp_path / "sample")
    write_landing(simulate("random_walk", end="2013-03-28"), tmp_path / "sample")
    assert json.loads((tmp_path / "sample" / "SIMULATED.json").read_text())["world"] == "random_walk"
    assert os.listdir(tmp_path) == ["sample"]


def test_a_failed_write_leaves_the_old_files_unchanged(short, tmp_path, monkeypatch):
    write_landing(short, tmp_path / "sample")
    before = {path.name: path.read_bytes() for path in (tmp_path / "sample").iterdir()}
    other = simulate("random_walk", end="2013-03-28")
    monkeypatch.setattr(pd.DataFrame, "to_csv", lambda *a, **k: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_landing(other, tmp_path / "sample")
    assert {path.name: path.read_bytes() for path in (tmp_path / "sample").iterdir()} == before
    assert os.listdir(tmp_path) == ["sample"]


def test_a_folder_with_other_files_is_unchanged(short, tmp_path):
    (tmp_path / "bars_daily.parquet").write_text("real data")
    with pytest.raises(LandingError, match="not a simulated market's, first bars_daily"):
        write_landing(short, tmp_path)
    assert (tmp_path / "bars_daily.parquet").read_text() == "real data"

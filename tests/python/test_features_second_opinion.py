"""Window features computed a second time, in pandas from the landing files, against DuckDB's."""

import numpy as np
import pandas as pd
import pytest
from conftest import MARTS, PROJECT, TARGETS, read

TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
DECAY = 0.97  # var ewma_decay


@pytest.fixture(scope="module")
def prices(sample_landing) -> dict[str, pd.DataFrame]:
    """Compute per symbol, on ZL's sessions: last close, roll-adjusted log index and its one-session change."""
    bars = pd.read_parquet(sample_landing / "bars_daily.parquet")
    bars["as_of_date"] = pd.to_datetime(bars["as_of_date"])
    by_symbol = {symbol: rows.set_index("as_of_date").sort_index() for symbol, rows in bars.groupby("symbol")}
    sessions = by_symbol["ZL"].index
    result = {}
    for symbol, rows in by_symbol.items():
        before = rows["close"].shift().where(rows["contract_id"].eq(rows["contract_id"].shift()), rows["open"])
        returns = np.log(rows["close"] / before)
        returns.iloc[0] = 0.0
        known = pd.DataFrame({"close": rows["close"], "log_index": returns.cumsum()})
        known = known.reindex(known.index.union(sessions)).ffill().reindex(sessions)
        result[symbol] = known.assign(log_return=known["log_index"].diff())
    return result


@pytest.fixture(scope="module")
def returns(prices) -> pd.Series:
    """ZL's roll-adjusted log return per session."""
    return prices["ZL"]["log_return"]


@pytest.fixture(scope="module")
def ewma_volatility(returns) -> pd.Series:
    """Compute the exponentially weighted root mean square of at most 252 and at least 60 returns."""

    def weighted(window: np.ndarray) -> float:
        weights = DECAY ** np.arange(len(window))[::-1]
        return np.sqrt(np.sum(weights * window**2) / np.sum(weights))

    return returns.dropna().rolling(252, min_periods=60).apply(weighted, raw=True)


@pytest.fixture(scope="module")
def mart(sample_features):
    """Return a function that reads one feature of a bucket's mart by date."""

    def column(bucket: str, name: str) -> pd.Series:
        table = read(
            sample_features.warehouse, f"select as_of_date, {name} from {MARTS[bucket]} order by 1"
        ).to_pandas()
        return table.set_index(pd.to_datetime(table["as_of_date"]))[name].astype("float64")

    return column


def zscore(values: pd.Series, sessions: int) -> pd.Series:
    """Compute the z-score in a window that is at least half full."""
    return values.rolling(sessions, min_periods=sessions // 2).apply(
        lambda w: (w[-1] - np.nanmean(w)) / np.nanstd(w, ddof=1), raw=True
    )


def assert_same(theirs: pd.Series, ours: pd.Series, at_least: int = 700) -> None:
    ours = ours.reindex(theirs.index)
    assert theirs.isna().equals(ours.isna()), "values are missing in different rows"
    assert theirs.notna().sum() >= at_least, "too few values to compare"
    np.testing.assert_allclose(theirs, ours, **TOLERANCE)


def test_zscore_of_the_crush_margin(mart, prices):
    margin = prices["ZM"]["close"] * 0.022 + prices["ZL"]["close"] * 0.11 - prices["ZS"]["close"] / 100
    assert_same(mart("crush", "cbot_crush_margin_usd_per_bu"), margin)
    assert_same(mart("crush", "cbot_crush_margin_zscore_63"), zscore(margin, 63))


def test_change_of_the_oil_share(mart, prices):
    oil, meal = prices["ZL"]["close"] * 11 / 100, prices["ZM"]["close"] * 44 / 2000
    assert_same(mart("crush", "cbot_zl_oil_share_change_5"), (oil / (oil + meal)).diff(5))


@pytest.mark.parametrize(
    ("bucket", "name", "symbol", "sessions"),
    [
        ("crush", "cbot_zs_momentum_21", "ZS", 21),
        ("energy", "nymex_cl_momentum_252", "CL", 252),
        ("fx", "base_zl_momentum_63", "ZL", 63),
    ],
)
def test_momentum_in_units_of_its_own_volatility(mart, prices, bucket, name, symbol, sessions):
    index, steps = prices[symbol]["log_index"], prices[symbol]["log_return"]
    spread = steps.rolling(63, min_periods=2).apply(lambda w: np.nanstd(w, ddof=1), raw=True)
    assert_same(mart(bucket, name), index.diff(sessions) / (spread * np.sqrt(sessions)))


def test_trailing_correlation(mart, prices, returns):
    other = prices["ZS"]["log_return"]
    ours = pd.Series(np.nan, index=returns.index)
    for end in range(31, len(returns)):
        window = slice(max(end - 62, 1), end + 1)  # the first return is missing
        ours.iloc[end] = np.corrcoef(returns.iloc[window], other.iloc[window])[0, 1]
    assert_same(mart("crush", "cbot_zl_zs_corr_63"), ours)


def test_ewma_volatility_and_the_ratios_to_it(mart, returns, ewma_volatility, sample_features):
    theirs = read(
        sample_features.warehouse,
        f"select as_of_date, ewma_volatility from {TARGETS} where horizon_days = 5 order by 1",
    ).to_pandas()
    assert_same(theirs.set_index(pd.to_datetime(theirs["as_of_date"]))["ewma_volatility"], ewma_volatility)
    week = np.sqrt((returns**2).rolling(5).apply(np.mean, raw=True))
    assert_same(mart("volatility", "base_zl_volatility_ratio_5"), np.log(week / ewma_volatility))


def test_decayed_returns_after_policy_events(mart, returns, sample_landing):
    events = pd.read_csv(sample_landing / "policy_events.csv", parse_dates=["available_on"])
    events = events[events["bucket"] == "tariff"]
    assert len(events) >= 3
    for half_life in (10, 42, 252):
        ours = [
            sum(
                event.severity * 0.5 ** ((day - event.available_on).days / half_life)
                for event in events.itertuples()
                if event.available_on <= day
            )
            for day in returns.index
        ]
        assert_same(mart("tariff", f"policy_tariff_memory_{half_life}"), pd.Series(ours, returns.index, dtype=float))


def test_days_to_the_next_fed_decision(mart, returns):
    meetings = pd.read_csv(PROJECT / "seeds/fomc_meetings.csv", parse_dates=["meeting_date"])["meeting_date"]
    following = meetings.to_numpy()[meetings.searchsorted(returns.index, side="right")]
    days = pd.Series((following - returns.index.to_numpy()).astype("timedelta64[D]").astype(float), returns.index)
    assert_same(mart("fed", "fomc_days_to"), days.clip(upper=90))


def test_newest_fund_positions_point_in_time(mart, returns, sample_landing):
    series = pd.read_parquet(sample_landing / "series.parquet")
    known = {}
    for part in ("NONCOMM_NET", "OI"):
        reports = series[series["series_id"] == f"COT_LEG_FUT_007601_{part}"].sort_values(["available_on", "obs_date"])
        known[part] = pd.Series(
            [
                reports.loc[pd.to_datetime(reports["available_on"]) <= day, "value"].iloc[-1:].sum()
                for day in returns.index
            ],
            returns.index,
        )
    share = (known["NONCOMM_NET"] / known["OI"].replace(0, np.nan)).astype(float)
    assert_same(mart("crush", "cftc_zl_net_share"), share)
    assert_same(mart("crush", "cftc_zl_net_share_change_20"), share.diff(20))


def test_change_of_palm_to_soybean_oil_is_missing_across_a_change_of_definition(mart, returns, sample_landing):
    series = pd.read_parquet(sample_landing / "series.parquet").assign(
        obs_date=lambda rows: pd.to_datetime(rows["obs_date"]),
        available_on=lambda rows: pd.to_datetime(rows["available_on"]),
    )
    breaks = pd.read_csv(PROJECT / "seeds/series_breaks.csv", parse_dates=["obs_date"])
    logs, definitions = {}, {}
    for series_id in ("WB_PALM_OIL", "WB_SOYBEAN_OIL"):
        own = series[series["series_id"] == series_id].sort_values(["available_on", "obs_date"])
        known = [own[own["available_on"] <= day].tail(1) for day in returns.index]
        logs[series_id] = pd.Series(
            [np.log(row["value"]).sum() if len(row) else np.nan for row in known], returns.index
        )
        starts = breaks.loc[breaks["series_id"] == series_id, "obs_date"]
        definitions[series_id] = pd.Series([sum(starts <= row["obs_date"].max()) for row in known], returns.index)
    change = (logs["WB_PALM_OIL"] - logs["WB_SOYBEAN_OIL"]).diff(63)
    is_same = (pd.DataFrame(definitions).diff(63) == 0).all(axis=1)
    assert (change.notna() & ~is_same).sum() == 63  # January 2021
    assert_same(mart("biofuel", "worldbank_palm_soy_change_63"), change.where(is_same))


@pytest.mark.parametrize("horizon", [5, 20, 60, 120])
def test_target_is_standardised_by_the_volatility_known_at_the_origin(
    horizon, prices, ewma_volatility, sample_features
):
    theirs = read(
        sample_features.warehouse,
        f"select as_of_date, z_return, target_date from {TARGETS} where horizon_days = {horizon} and is_matured order by 1",
    ).to_pandas()
    theirs = theirs.set_index(pd.to_datetime(theirs["as_of_date"]))
    close = prices["ZL"]["close"]
    assert_same(theirs["z_return"], np.log(close.shift(-horizon) / close) / (ewma_volatility * np.sqrt(horizon)))
    ahead = pd.Series(close.index, close.index).shift(-horizon)
    assert (pd.to_datetime(theirs["target_date"]) == ahead.reindex(theirs.index)).all()

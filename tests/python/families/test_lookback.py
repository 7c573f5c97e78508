"""The look-back of a row: its past values, without look-ahead."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast.errors import TournamentError
from zl_forecast.families.lookback import CHANNEL_LAGS, RETURN_COLUMNS, RETURN_LAGS, lookback_columns, read_sessions


@pytest.fixture(scope="module")
def market():
    """300 sessions of ZL, the last 280 of them in the mart; the channel numbers the mart's sessions."""
    days = pd.bdate_range("2015-01-05", periods=300)
    zl = pd.DataFrame(
        {"as_of_date": days, "log_return": np.arange(300) / 1000, "ewma_volatility": 0.01 + np.arange(300) / 1e5}
    )
    mart = pd.DataFrame({"as_of_date": days[20:], "count": np.arange(280.0), "other": 1.0})
    return mart, zl


def test_lag_zero_is_the_sessions_own_value_and_lag_k_that_of_k_sessions_before(market):
    columns = lookback_columns(*market, ("count",))
    assert columns.loc[100, "return_lag_000"] == pytest.approx(0.120)  # the mart's session 100 is ZL's 120
    assert columns.loc[100, "return_lag_007"] == pytest.approx(0.113)
    assert columns.loc[100, ["count@00", "count@39"]].tolist() == [100, 61]
    assert columns.loc[100, "ewma_volatility"] == pytest.approx(0.01 + 120 / 1e5)


def test_lags_before_the_history_are_missing(market):
    columns = lookback_columns(*market, ("count",))
    assert columns.loc[0, "count@00"] == 0
    assert np.isnan(columns.loc[0, "count@01"])
    assert columns.loc[0, RETURN_COLUMNS].notna().sum() == 21


def test_later_sessions_do_not_change_a_look_back(market):
    mart, zl = market
    later = mart["as_of_date"].iloc[150]
    perturbed = mart.assign(count=mart["count"].where(mart["as_of_date"] <= later, -9.0))
    moved = zl.assign(
        log_return=zl["log_return"].where(zl["as_of_date"] <= later, 0.3),
        ewma_volatility=zl["ewma_volatility"].where(zl["as_of_date"] <= later, 1.0),
    )
    before, after = (lookback_columns(m, z, ("count",)) for m, z in ((mart, zl), (perturbed, moved)))
    pd.testing.assert_frame_equal(before[:151], after[:151], check_exact=True)
    assert not before[151:].equals(after[151:])


def test_rows_fold_to_sessions_and_the_order_of_rows_does_not_matter(market):
    mart, zl = market
    columns = lookback_columns(mart, zl, ("count",))
    rows = pd.concat([mart.merge(columns, on="as_of_date").assign(horizon_days=h) for h in (5, 20)])
    rows = rows.drop(columns="as_of_date").sample(frac=1, random_state=1)
    sessions = read_sessions(rows)
    assert (np.diff(sessions.day) == np.diff(mart["as_of_date"].to_numpy("datetime64[D]").astype(int))).all()
    assert sessions.returns.shape == (280, RETURN_LAGS)
    assert sessions.channels.shape == (280, CHANNEL_LAGS, 1)
    assert sessions.channels[50, :, 0].tolist() == list(range(11, 51))  # oldest first
    assert list(sessions.features) == ["count", "other"]
    np.testing.assert_array_equal(sessions.features["count"].to_numpy()[sessions.session], rows["count"].to_numpy())


def test_the_empty_column_added_by_autogluon_is_not_a_feature(market):
    mart, zl = market
    rows = mart.merge(lookback_columns(mart, zl, ()), on="as_of_date").drop(columns="as_of_date").assign(horizon_days=5)
    rows[None] = np.nan
    assert list(read_sessions(rows).features) == ["count", "other"]


def test_a_session_without_zl_is_refused(market):
    mart, zl = market
    with pytest.raises(TournamentError, match="lacks 1 sessions of the mart, the first on 2015-02-16"):
        lookback_columns(mart, zl[zl["as_of_date"] != "2015-02-16"], ("count",))

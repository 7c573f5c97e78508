"""SARIMAX: forecasts from the returns' own past and the channels, and equals the reference on noise."""

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament
from statsmodels.tsa.statespace.sarimax import SARIMAX
from threadpoolctl import threadpool_limits

from zl_forecast.families import sarimax
from zl_forecast.families.sarimax import MEMORY, DailyModel, expected_sums, fit_daily, past_weights

HORIZONS = (5, 20, 60)


@pytest.fixture(autouse=True)
def one_thread():
    with threadpool_limits(1):
        yield


def autoregressive(n: int, seed: int, phi: float = 0.3, theta: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(6, n + 101)
    shocks[1:] += theta * shocks[:-1]
    values = [0.0]
    for shock in shocks[1:]:
        values.append(phi * values[-1] + shock)
    return 0.008 * np.array(values[101:])


def skill(fitted, train, test) -> pd.Series:
    """Return losses relative to the reference's, by horizon."""
    own, reference = fitted.forecast(test), tournament.reference_forecast(train, test)
    return 1 - tournament.loss(test, own) / tournament.loss(test, reference)


@pytest.mark.parametrize(("phi", "theta"), [(0.3, 0.0), (0.0, 0.5)])
def test_sarimax_beats_the_reference_on_autocorrelated_returns_at_one_week(market_rows, tmp_path, phi, theta):
    train, test = tournament.split(market_rows(autoregressive(3060, 1, phi, theta), horizons=HORIZONS), 1500)
    fitted = tournament.fit(sarimax.FAMILY, train, tmp_path)
    assert sum(fitted.model.model["daily"].order[:2]) >= 1
    assert skill(fitted, train, test)[5] > 0.005
    own_past = fitted.model.contributions(tournament.shown(test))["own_past"]
    rows = test["horizon_days"] == 5
    assert own_past[rows].corr(test.loc[rows, "return_lag_000"]) > 0.8


def test_on_white_noise_sarimax_selects_little_and_equals_the_reference(market_rows, tmp_path):
    silent = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        features = pd.DataFrame(rng.standard_normal((1060, 4)), columns=list("abcd"))
        rows = market_rows(0.01 * rng.standard_t(5, 1060), features, channels="abcd", horizons=HORIZONS)
        train, test = tournament.split(rows, 700)
        fitted = tournament.fit(sarimax.FAMILY, train, tmp_path / str(seed))
        daily = fitted.model.model["daily"]
        silent += daily.order == (0, 0, 0, 0) and not daily.coefficients.any()
        difference = np.abs(fitted.forecast(test) - tournament.reference_forecast(train, test))
        assert difference.max() < 0.25
        assert (skill(fitted, train, test) > -0.01).all()
    assert silent >= 3


def test_a_channel_that_leads_by_a_session_is_found_and_used(market_rows, tmp_path):
    rng = np.random.default_rng(2)
    n = 2560
    lead = np.zeros(n)
    for t in range(1, n):
        lead[t] = 0.9 * lead[t - 1] + rng.standard_normal()
    lead /= lead.std()
    returns = 0.01 * rng.standard_t(6, n)
    returns[1:] -= 0.0025 * lead[:-1]
    features = pd.DataFrame({"other": rng.standard_normal(n), "lead": lead, "noise": rng.standard_normal(n).cumsum()})
    train, test = tournament.split(market_rows(returns, features, ("other", "lead", "noise"), HORIZONS), 1500)
    fitted = tournament.fit(sarimax.FAMILY, train, tmp_path)
    found = fitted.model.model
    assert np.flatnonzero(found["daily"].coefficients).tolist() == [1]
    assert found["decay"][1] == pytest.approx(np.corrcoef(lead[1:1560], lead[:1559])[0, 1], abs=0.015)
    assert found["slopes"][5] > 0.5
    assert (skill(fitted, train, test)[[5, 20]] > 0.01).all()
    added = fitted.model.contributions(tournament.shown(test))
    week = test["horizon_days"] == 5
    assert added.loc[week, "lead"].corr(test.loc[week, "lead"]) < -0.95
    assert (added[["other", "noise"]] == 0).all(axis=None)


def test_a_planted_weekly_season_is_selected():
    rng = np.random.default_rng(3)
    u = rng.standard_normal(1500)
    for t in range(5, len(u)):
        u[t] += 0.25 * u[t - 5]
    found = fit_daily(u, np.empty((len(u), 0)))
    assert found.order[:2] == (0, 0)
    assert sum(found.order[2:]) == 1


def test_hidden_returns_do_not_change_the_fit():
    """Orders, channels and parameters of a fold's model do not depend on the fold."""
    rng = np.random.default_rng(4)
    u, x = rng.standard_normal(900), rng.standard_normal((900, 3))
    u[1:] += 0.25 * u[:-1] + 0.3 * x[1:, 0]
    shown = u.copy()
    shown[300:500] = np.nan
    other = x.copy()
    other[300:500] = 50 * rng.standard_normal((200, 3))
    one, two = fit_daily(shown, x), fit_daily(shown, other)
    assert one.order == two.order
    np.testing.assert_allclose(one.coefficients != 0, two.coefficients != 0)
    np.testing.assert_allclose(one.ar, two.ar, atol=0.01)
    reversed_ = u.copy()
    reversed_[300:500] *= -3
    assert not np.isclose(fit_daily(reversed_, x).ar[1], one.ar[1], atol=0.02)


def test_cross_fitted_forecasts_do_not_depend_on_their_folds_targets(market_rows, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sarimax, "fit_daily", lambda u, x: seen.append(u) or fit_daily(u, x))
    train, _ = tournament.split(market_rows(autoregressive(960, 5), horizons=HORIZONS), 800)
    model = sarimax.SarimaxModel(path=str(tmp_path), name="sarimax", problem_type="quantile")
    model.quantile_levels = np.array([0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95])
    model._fit(tournament.shown(train), train["z_return"])
    whole, *folds = seen
    assert not np.isnan(whole).any()
    assert len(folds) == sarimax.FOLDS
    hidden = [np.flatnonzero(np.isnan(u)) for u in folds]
    length = len(train["as_of_date"].unique()) / sarimax.FOLDS
    for fold in hidden[:-1]:
        assert len(fold) >= int(length) - 1 + max(HORIZONS)
        assert (np.diff(fold) == 1).all()
    assert hidden[-1][-1] == len(whole) - 1


@pytest.mark.parametrize("order", [(1, 0, 0, 0), (0, 1, 0, 0), (1, 1, 0, 1), (1, 0, 1, 0)])
@pytest.mark.parametrize("horizon", HORIZONS)
def test_the_forecast_is_statsmodels_own(order, horizon):
    """Compare with statsmodels' apply() and forecast() on the row's look-back, with a decaying channel."""
    rng = np.random.default_rng(6)
    u, x = autoregressive(600, 6) / 0.01, rng.standard_normal((600, 2))
    u += 0.4 * x[:, 0]
    p, q, seasonal_p, seasonal_q = order
    season = (seasonal_p, 0, seasonal_q, 5) if seasonal_p or seasonal_q else (0, 0, 0, 0)
    model = SARIMAX(u, x, order=(p, 0, q), seasonal_order=season, concentrate_scale=True)
    fit = model.fit(disp=0, cov_type="none")
    daily = DailyModel(order, fit.params[:2], fit.polynomial_reduced_ar, fit.polynomial_reduced_ma)
    decay = np.array([0.9, 0.0])
    own_u, own_x = u[100 : 100 + MEMORY], x[100 : 100 + MEMORY + 1]
    ahead = own_x[-1] * decay ** np.arange(horizon)[:, None]
    theirs = fit.apply(own_u, own_x[:-1]).forecast(horizon, exog=ahead).sum()
    ours = expected_sums(daily, decay, own_u[None], own_x[None], horizon)
    assert ours.sum() == pytest.approx(theirs, abs=1e-8)
    np.testing.assert_allclose(ours[0, :2], fit.params[:2] * ahead.sum(axis=0))


def test_weights_of_an_autoregression_worked_by_hand():
    weights = past_weights(np.array([1.0, -0.5]), np.array([1.0]), memory=3, horizon=2)
    np.testing.assert_allclose(weights, [0, 0, 0.5 + 0.25], atol=1e-12)


def test_returns_in_units_of_volatility_use_that_of_the_session_before():
    returns = np.array([0.02, -0.02, 0.04])
    start = (4 + 4 + 16) / 3 * 1e-4
    after = [start, 0.97 * start + 0.03 * 4e-4]
    after.append(0.97 * after[1] + 0.03 * 4e-4)
    np.testing.assert_allclose(sarimax.volatility_units(returns), returns / np.sqrt(after))
    assert sarimax.volatility_units(np.array([np.nan, 0.02, 0.02])).tolist()[0] == 0


def test_bic_selects_exactly_the_planted_channels():
    rng = np.random.default_rng(7)
    x = rng.standard_normal((800, 5))
    u = 0.2 * x[:, 3] - 0.3 * x[:, 1] + rng.standard_normal(800)
    assert sarimax.selected_channels(u, x) == [1, 3]
    assert sarimax.selected_channels(rng.standard_normal(800), x) == []

"""Prophet: finds planted effects, stays near the reference on noise, and equals Prophet's own quantiles."""

import logging

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.families import prophet

HORIZONS = (5, 20, 60)


def skill(fitted, train, test) -> pd.Series:
    """Return losses relative to the reference's, by horizon."""
    own, reference = fitted.forecast(test), tournament.reference_forecast(train, test)
    return 1 - tournament.loss(test, own) / tournament.loss(test, reference)


@pytest.fixture(scope="module")
def seasonal(market_rows, tmp_path_factory):
    """Simulate a season, positive in the first half of the year, and a regressor of the next sessions."""
    rng = np.random.default_rng(1)
    n = 3560
    days = pd.bdate_range("2000-01-03", periods=n)
    drive = np.zeros(n)
    for t in range(1, n):
        drive[t] = 0.95 * drive[t - 1] + rng.standard_normal()
    drive /= drive.std()
    returns = 0.01 * rng.standard_normal(n) + 0.002 * np.sin(2 * np.pi * days.dayofyear.to_numpy() / 365.25)
    returns[1:] += 0.0015 * drive[:-1]
    features = pd.DataFrame(rng.standard_normal((n, 12)), columns=[f"noise_{i}" for i in range(12)])
    rows = market_rows(returns, features.assign(drive=drive), ("noise_0", "noise_1"), HORIZONS)
    train, test = tournament.split(rows, 2500)
    return tournament.fit(prophet.FAMILY, train, tmp_path_factory.mktemp("prophet")), train, test


@pytest.fixture(scope="module")
def noise(market_rows, tmp_path_factory):
    """Simulate normal returns, so that Prophet's shape is right, with many features without effect."""
    rng = np.random.default_rng(2)
    n = 3060
    features = pd.DataFrame(rng.standard_normal((n, 25)), columns=[f"noise_{i}" for i in range(25)])
    rows = market_rows(0.01 * rng.standard_normal(n), features, tuple(features.columns[:8]), HORIZONS)
    train, test = tournament.split(rows, 1500)
    return tournament.fit(prophet.FAMILY, train, tmp_path_factory.mktemp("prophet")), train, test


def test_a_yearly_season_and_a_regressor_are_found_out_of_sample(seasonal):
    fitted, train, test = seasonal
    assert (skill(fitted, train, test)[[5, 20]] > 0.02).all()
    added = fitted.model.contributions(tournament.shown(test))
    rows = (test["horizon_days"] == 20).to_numpy()
    rise = np.sin(2 * np.pi * (test["as_of_date"].dt.dayofyear + 14) / 365.25)  # at the middle of the target's window
    assert np.corrcoef(added["season"][rows], rise[rows])[0, 1] > 0.9
    assert "drive" in fitted.model.model["regressors"]
    assert added["drive"].corr(test["drive"]) > 0.7
    assert added["drive"][rows].std() > 3 * added.filter(like="noise")[rows].std().max()


def test_on_noise_the_location_stays_small_and_the_loss_is_the_references(noise):
    fitted, train, test = noise
    location = pd.Series(fitted.forecast(test)[:, 3]).groupby(test["horizon_days"].to_numpy()).std()
    assert (location < 0.08).all()
    assert (skill(fitted, train, test) > -0.015).all()


def test_the_width_on_normal_returns_is_that_of_the_training_rows(noise):
    fitted, train, test = noise
    width = pd.Series(np.ptp(fitted.forecast(test), axis=1)).groupby(test["horizon_days"].to_numpy())
    assert (width.max() - width.min() < 1e-5).all()
    np.testing.assert_allclose(
        width.mean(), 2 * norm.ppf(0.95) * train.groupby("horizon_days")["z_return"].std(), rtol=0.05
    )


@pytest.fixture(scope="module")
def fit():
    """Fit Prophet itself with one regressor on 120 sessions and two horizons."""
    rng = np.random.default_rng(3)
    day = np.repeat(np.arange(120) * 7 + 12000, 2)
    horizon = np.tile([5, 60], 120)
    x = rng.standard_normal((240, 1))
    y = np.sin(2 * np.pi * day / 365.25) * (horizon == 60) + 0.5 * x[:, 0] * (horizon == 5) + rng.standard_normal(240)
    y = (y - y.mean()) / y.std()
    return prophet.fit_prophet(day, horizon, x, y, spacing=5), day, horizon, x


def test_contributions_are_prophets_own_prediction(fit):
    model, day, horizon, x = fit
    found = prophet.effects_by_horizon(model, 1)
    later = day + 900
    yhat = model.predict(prophet.prophet_frame(later, horizon, x, [5, 60]))["yhat"].to_numpy()
    for h in (5, 60):
        rows = horizon == h
        ours = prophet.contributions(found[h], later[rows], x[rows])
        np.testing.assert_allclose(ours.sum(axis=1), yhat[rows], atol=1e-10)


def test_quantiles_are_prophets_own_with_the_draws_replaced_by_the_formula(fit):
    model, day, horizon, x = fit
    frame = prophet.prophet_frame(day[:6] + 900, horizon[:6], x[:6], [5, 60])
    found = prophet.effects_by_horizon(model, 1)[60]
    state = np.random.get_state()
    np.random.seed(1)
    model.uncertainty_samples = 20_000
    draws = model.predictive_samples(frame)["yhat"][1]
    model.uncertainty_samples = 0
    np.random.set_state(state)
    location = prophet.contributions(found, day[[1]] + 900, x[[1]]).sum()
    expected = location + found.noise * norm.ppf(settings.QUANTILE_LEVELS)
    np.testing.assert_allclose(np.quantile(draws, settings.QUANTILE_LEVELS), expected, atol=0.05)


def test_priors_are_narrower_where_targets_overlap_more(fit):
    model, *_ = fit
    scales = [model.extra_regressors[name]["prior_scale"] for name in ("x0_5", "x0_60")]
    assert scales[0] / scales[1] == pytest.approx(np.sqrt(60 / 5))
    seasons = [model.seasonalities[f"season_{h}"]["prior_scale"] for h in (5, 60)]
    assert seasons[0] / seasons[1] == pytest.approx(np.sqrt(60 / 5))


def test_flat_growth_extrapolates_no_trend(market_rows, tmp_path):
    """With returns that drift up for years, the centre of the forecast stays at the last price."""
    rng = np.random.default_rng(4)
    returns = 0.01 * rng.standard_normal(1560) + np.linspace(-0.001, 0.001, 1560)
    train, test = tournament.split(market_rows(returns, horizons=HORIZONS), 1000)
    fitted = tournament.fit(prophet.FAMILY, train, tmp_path)
    added = fitted.model.contributions(tournament.shown(test))
    by_horizon = added["trend"].groupby(test["horizon_days"].to_numpy())
    assert (by_horizon.max() == by_horizon.min()).all()
    assert added["trend"].abs().max() < 0.05


def test_strongest_selects_features_with_evidence_at_any_horizon():
    rng = np.random.default_rng(5)
    x = rng.standard_normal((900, 6))
    horizon = np.tile([1, 5, 20], 300)
    y = rng.standard_normal(900) + 0.5 * x[:, 4] * (horizon == 5) - 0.4 * x[:, 2] * (horizon == 1)
    assert prophet.strongest(x, y, horizon, 2) == [2, 4]


def test_nothing_is_printed_or_logged(market_rows, tmp_path, capfd, caplog):
    train, _ = tournament.split(market_rows(0.01 * np.random.default_rng(6).standard_normal(660)), 500)
    with caplog.at_level(logging.INFO):
        tournament.fit(prophet.FAMILY, train, tmp_path)
    assert not [record for record in caplog.records if record.name.startswith(("prophet", "cmdstanpy"))]
    assert "cmdstan" not in "".join(capfd.readouterr())

"""The screened ridge and the regression combination find planted signals and equal the reference on noise."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.ensembles import Rows
from zl_forecast.ensembles.granger_ramanathan import GrangerRamanathan
from zl_forecast.families.ridge import RidgeModel, purged_folds, screened_ridge, shrunk_slope

HORIZONS = (5, 20, 60, 120)


def overlapping(signal: np.ndarray, noise: np.ndarray, horizon: int) -> np.ndarray:
    """Simulate standardised returns over `horizon` sessions with mean `signal` at their origin."""
    shocks = np.convolve(noise, np.ones(horizon), mode="full")[horizon - 1 : horizon - 1 + len(signal)]
    return signal + shocks / np.sqrt(horizon)


def test_screening_keeps_the_feature_with_evidence_and_drops_the_others():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((4000, 30))
    y = 0.5 * x[:, 0] + rng.standard_normal(4000)
    coefficients = screened_ridge(x, y - y.mean(), samples=4000, screen=9.0, prior_r2=0.2)
    assert np.argmax(np.abs(coefficients)) == 0
    assert np.count_nonzero(coefficients) <= 3  # |t| > 3 has probability 1/370 by chance


def test_slope_of_a_true_forecast_is_one_and_of_noise_nearly_zero():
    rng = np.random.default_rng(1)
    forecast = rng.standard_normal(3000)
    assert shrunk_slope(forecast, forecast + rng.standard_normal(3000), overlap=1) == pytest.approx(1.0, abs=0.1)
    slopes = [shrunk_slope(rng.standard_normal(300), rng.standard_normal(300), overlap=20) for _ in range(50)]
    assert np.mean(slopes) < 0.05


def test_slope_against_a_forecast_that_points_the_wrong_way_is_zero():
    forecast = np.random.default_rng(2).standard_normal(500)
    assert shrunk_slope(forecast, -forecast, overlap=1) == 0.0


@pytest.mark.parametrize("horizon", HORIZONS)
def test_targets_of_a_fold_do_not_overlap_with_its_training_rows(horizon):
    n = 1500
    for fold, outside in purged_folds(n, horizon):
        inside = np.arange(n)[fold]
        gap = np.abs(np.flatnonzero(outside)[:, None] - inside).min()
        assert gap >= horizon


@pytest.fixture(scope="module")
def two_halves():
    """Simulate two inputs, each with one of two independent drivers as median; the outcome is their sum plus noise."""
    rng = np.random.default_rng(3)
    n = 1600
    dates = pd.bdate_range("2015-01-01", periods=n)
    half = {name: pd.Series(rng.standard_normal(n)).ewm(halflife=10).mean().to_numpy() for name in ("a", "b")}
    spread = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])
    keys, quantiles, z_return = [], [], []
    for horizon in HORIZONS:
        signal = {name: 2.0 * value for name, value in half.items()}
        keys.append(np.full(n, horizon))
        medians = np.stack([signal["a"], signal["b"], np.zeros(n)], axis=1)
        quantiles.append(medians[:, :, None] + spread)
        noise = rng.standard_normal(n + horizon)
        z_return.append(overlapping(signal["a"] + signal["b"], noise, horizon))
    horizons, origins = np.concatenate(keys), np.tile(dates.to_numpy(), len(HORIZONS))
    known_on = origins + horizons.astype("timedelta64[D]")  # the method does not read it
    present = np.ones((len(origins), 3), bool)
    names = ("a", "b", "reference")
    rows = Rows(origins, horizons, names, np.concatenate(quantiles), present, known_on, np.concatenate(z_return))
    early, late = rows.as_of_date < dates[1200], rows.as_of_date >= dates[1320]
    return rows.take(early), rows.take(late)


def test_regression_combination_adds_the_signals_of_two_drivers(two_halves):
    train, test = two_halves
    median = settings.QUANTILE_LEVELS.index(0.5)
    method = GrangerRamanathan().fit(train)
    week = test.horizon_days == 5
    truth = test.quantiles[week][:, :2, median].sum(axis=1)
    combined = method.predict(test)[week][:, median]
    assert np.corrcoef(combined, truth)[0, 1] > 0.95
    assert np.polyfit(truth, combined, 1)[0] == pytest.approx(1.0, abs=0.25)
    assert (method.weights(test.take(week))[:, :2] > 0).all()


def test_regression_combination_of_noise_has_the_median_of_the_reference(two_halves):
    train, test = two_halves
    rng = np.random.default_rng(4)
    noise = replace(train, z_return=rng.standard_normal(len(train)))
    median = settings.QUANTILE_LEVELS.index(0.5)
    week = test.horizon_days == 5
    assert np.abs(GrangerRamanathan().fit(noise).predict(test)[week][:, median]).mean() < 0.1


def test_a_feature_without_a_value_in_the_training_rows_has_no_weight_and_warns_of_nothing():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((600, 2))
    y = 0.4 * x[:, 0] + rng.standard_normal(600)
    model = RidgeModel.__new__(RidgeModel)
    model.quantile_levels = [0.1, 0.5, 0.9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = model._fit_horizon(np.column_stack([x, np.full(600, np.nan)]), y, 5, 0.0, 0.02)
    assert fit["coefficients"][2] == 0
    assert fit["coefficients"][0] == pytest.approx(0.4, abs=0.1)
    assert np.isfinite(fit["residuals"]).all()

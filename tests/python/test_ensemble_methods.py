"""Ensemble methods against known answers: analytic posterior, planted weights and switch, closed-form moments."""

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq

from zl_forecast import settings
from zl_forecast.ensembles import Rows, load_methods
from zl_forecast.ensembles.bayesian_model_averaging import BayesianModelAveraging, log_prior
from zl_forecast.ensembles.conformal import Conformal
from zl_forecast.ensembles.dynamic_model_averaging import DynamicModelAveraging
from zl_forecast.ensembles.granger_ramanathan import GrangerRamanathan, regression_weights
from zl_forecast.ensembles.monte_carlo import MonteCarlo, performance_weights, score_correlation
from zl_forecast.ensembles.quantile_regression_averaging import QuantileRegressionAveraging
from zl_forecast.errors import TournamentError

NORMAL = stats.norm.ppf(settings.QUANTILE_LEVELS)
BANDS = {0.5: (2, 4), 0.8: (1, 5), 0.9: (0, 6)}


def rows_of(z_return: np.ndarray, horizon: int = 1, **forecasts: tuple) -> Rows:
    """Build daily normal forecasts (means, deviations) of one horizon; each matures `horizon` days later."""
    n = len(z_return)
    days = np.arange(np.datetime64("2000-01-03"), np.datetime64("2000-01-03") + n)
    inputs = tuple(forecasts)
    means, deviations = zip(*forecasts.values(), strict=True)
    quantiles = np.stack(
        [
            np.broadcast_to(mean, n)[:, None] + np.broadcast_to(deviation, n)[:, None] * NORMAL
            for mean, deviation in zip(means, deviations, strict=True)
        ],
        axis=1,
    )
    return Rows(days, np.full(n, horizon), inputs, quantiles, np.ones((n, len(inputs)), bool), days + horizon, z_return)


# ---------- Bayesian model averaging


def test_weights_are_the_analytic_posterior_of_gaussian_models():
    z_return = np.random.default_rng(1).normal(0.3, 1, 40)
    rows = rows_of(z_return, reference=(0.0, 1.0), a=(0.3, 1.0), b=(0.0, 1.5))
    weights = BayesianModelAveraging().fit(rows).weights(rows)[0]
    prior = np.array([0.5, 0.25, 0.25])
    likelihood = np.array([stats.norm.pdf(z_return, m, s).prod() for m, s in ((0, 1), (0.3, 1), (0, 1.5))])
    assert weights == pytest.approx(prior * likelihood / (prior * likelihood).sum(), rel=1e-9)


def test_overlapping_rows_count_once_per_horizon():
    z_return = np.random.default_rng(2).normal(0.3, 1, 12)
    once = rows_of(z_return, reference=(0.0, 1.0), a=(0.3, 1.0))
    many = rows_of(np.repeat(z_return, 20), horizon=20, reference=(0.0, 1.0), a=(0.3, 1.0))
    assert BayesianModelAveraging().fit(many).weights(many)[0] == pytest.approx(
        BayesianModelAveraging().fit(once).weights(once)[0]
    )


def test_the_forecast_is_the_mixture_not_the_mean_of_quantiles():
    rows = rows_of(np.zeros(1), reference=(0.0, 1.0), a=(4.0, 1.0))
    method = BayesianModelAveraging().fit(rows)
    first, second = method.weights(rows)[0]
    p90 = brentq(lambda x: first * stats.norm.cdf(x) + second * stats.norm.cdf(x, 4) - 0.9, -9, 9)
    assert method.predict(rows)[0, 5] == pytest.approx(p90, abs=1e-6)


def test_the_reference_has_half_of_the_prior_for_any_number_of_inputs():
    assert np.exp(log_prior(("a", "b", "c", "reference"))) == pytest.approx([1 / 6, 1 / 6, 1 / 6, 0.5])
    assert np.exp(log_prior(("reference",))) == pytest.approx([1])


# ---------- quantile regression averaging


def test_planted_weights_are_recovered():
    rng = np.random.default_rng(3)
    a, b, wrong = rng.standard_normal((3, 1000))
    z_return = 0.7 * a + 0.3 * b + 0.5 * rng.standard_normal(1000)
    rows = rows_of(z_return, reference=(0.0, 0.5), a=(a, 0.5), b=(b, 0.5), wrong=(wrong, 0.5))
    weights = QuantileRegressionAveraging().fit(rows).weights(rows)[0]
    assert weights == pytest.approx([0, 0.7, 0.3, 0], abs=0.04)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()


def test_weights_on_other_inputs_than_the_reference_grow_with_the_samples():
    rng = np.random.default_rng(4)
    a = rng.standard_normal(4000)
    z_return = 0.25 * a + rng.standard_normal(4000)
    few = rows_of(
        z_return[:240], horizon=120, reference=(0.0, 1.0), a=(a[:240], 1.0)
    )  # two samples that do not overlap
    many = rows_of(z_return, reference=(0.0, 1.0), a=(a, 1.0))
    assert QuantileRegressionAveraging().fit(few).weights(few)[0, 0] == pytest.approx(1)
    assert QuantileRegressionAveraging().fit(many).weights(many)[0, 1] == pytest.approx(0.25, abs=0.06)


# ---------- dynamic model averaging


def walked(method, rows: Rows) -> np.ndarray:
    """Return the weights of each day, after the outcomes known at its close."""
    weights = []
    for day in rows.as_of_date:
        method.update(rows.take(rows.target_date == day))
        weights.append(method.weights(rows.take(rows.as_of_date == day))[0])
    return np.array(weights)


def switching(seed: int, horizon: int = 1) -> Rows:
    """Simulate inputs of which `first` is right for 300 days, then `second`."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 600))
    z_return = np.where(np.arange(600) < 300, a, b) + 0.5 * rng.standard_normal(600)
    return rows_of(z_return, horizon, reference=(0.0, 1.1), first=(a, 0.5), second=(b, 0.5))


@pytest.mark.parametrize("seed", range(5))
def test_the_weight_moves_to_the_newly_correct_input_within_twenty_steps(seed):
    rows = switching(seed)
    empty = rows.take(slice(0, 0))
    weights = walked(DynamicModelAveraging().fit(empty), rows)
    assert weights[299, 1] > 0.9
    assert weights[320:, 2].min() > 0.5
    assert np.allclose(weights.sum(axis=1), 1)


def test_without_forgetting_the_weight_does_not_move():
    rows = switching(0)
    most = rows.take(slice(0, 550))  # `first` was right for 300 days, `second` for 250
    static = BayesianModelAveraging().fit(most).weights(most)[0]
    assert static[1] > static[2]
    assert walked(DynamicModelAveraging().fit(rows.take(slice(0, 0))), most)[-1, 2] > 0.9


def test_fitting_on_the_past_equals_updating_through_it():
    rows = switching(1)
    past, later = rows.take(slice(0, 200)), rows.take(slice(200, 203))
    fitted, walking = DynamicModelAveraging().fit(past), DynamicModelAveraging().fit(rows.take(slice(0, 0)))
    for i in range(200):
        walking.update(rows.take(slice(i, i + 1)))
    np.testing.assert_allclose(fitted.predict(later), walking.predict(later))


# ---------- conformal


def coverage(z_return: np.ndarray, quantiles: np.ndarray) -> dict[float, float]:
    return {
        band: np.mean((z_return >= quantiles[:, a]) & (z_return <= quantiles[:, b])) for band, (a, b) in BANDS.items()
    }


def conformal_walk(rows: Rows) -> np.ndarray:
    method = Conformal().fit(rows.take(slice(0, 0)))
    quantiles = []
    for day in rows.as_of_date:
        method.update(rows.take(rows.target_date == day))
        quantiles.append(method.predict(rows.take(rows.as_of_date == day))[0])
    return np.array(quantiles)


def test_coverage_is_nominal_before_and_after_a_volatility_break():
    # 2,500 calm days, then 2,500 with outcomes twice as wide as forecast; neighbouring targets share four of five days
    shocks = np.random.default_rng(1).standard_normal(5004)
    z_return = np.convolve(shocks, np.ones(5) / np.sqrt(5), "valid") * np.where(np.arange(5000) < 2500, 1.0, 2.0)
    rows = rows_of(z_return, 5, reference=(0.0, 1.0), equal_weights=(0.0, 1.0))
    adapted = conformal_walk(rows)
    calm, broken = slice(0, 2500), slice(2500, 5000)
    for band in BANDS:
        assert coverage(z_return[calm], adapted[calm])[band] == pytest.approx(band, abs=0.02)
        assert coverage(z_return[broken], adapted[broken])[band] == pytest.approx(band, abs=0.02)
        assert coverage(z_return[2900:], adapted[2900:])[band] == pytest.approx(
            band, abs=0.015
        )  # it has adapted after 400 days
        assert coverage(z_return[broken], rows.quantiles[broken, 1])[band] < band - 0.1
    assert (np.diff(adapted, axis=1) >= 0).all()


def test_the_median_is_unchanged_and_the_base_method_not_the_reference_is_adapted():
    rows = rows_of(np.full(50, 9.0), 5, reference=(0.0, 1.0), equal_weights=(0.5, 2.0))
    adapted = conformal_walk(rows)
    assert adapted[:, 3] == pytest.approx(0.5)
    assert adapted[0] == pytest.approx(0.5 + 2 * NORMAL)  # nothing is known yet
    assert adapted[-1, 5] > adapted[0, 5]


def test_an_outcome_changes_no_forecast_before_it_is_known():
    z_return = np.random.default_rng(6).standard_normal(100)
    perturbed = np.where(np.arange(100) >= 40, 50.0, z_return)
    calm, wild = (
        conformal_walk(rows_of(values, 20, reference=(0.0, 1.0), a=(0.0, 1.0))) for values in (z_return, perturbed)
    )
    np.testing.assert_array_equal(calm[:60], wild[:60])  # the outcome of day 40 is known on day 60
    assert wild[60, 5] > calm[60, 5]
    assert wild[99, 5] > calm[99, 5]


# ---------- Monte Carlo


def test_moments_are_those_of_the_weighted_sum_of_correlated_normals():
    rng = np.random.default_rng(7)
    common, own, other = rng.standard_normal((3, 3000))
    rows = rows_of(common, reference=(0.0, 1.2), a=(0.4 * own, 0.8), b=(0.4 * other, 1.0))
    method = MonteCarlo().fit(rows)
    weights = method.weights(rows)[0]
    deviations = np.array([1.2, 0.8, 1.0])
    covariance = score_correlation(rows) * np.outer(deviations, deviations)
    mean = rows.quantiles[:, :, 3] @ weights
    deviation = np.sqrt(weights @ covariance @ weights)
    expected = mean[:5, None] + deviation * NORMAL
    assert method.predict(rows.take(slice(0, 5))) == pytest.approx(expected, abs=0.04 * deviation)


def test_identical_inputs_do_not_narrow_the_band():
    rng = np.random.default_rng(8)
    z_return = rng.standard_normal(2000)
    same = rows_of(z_return, reference=(0.0, 1.0), a=(0.0, 1.0))
    combined = MonteCarlo().fit(same).predict(same.take(slice(0, 1)))[0]
    assert combined == pytest.approx(NORMAL, abs=0.05)
    assert combined[5] - combined[1] > 1.3 * (NORMAL[5] - NORMAL[1]) / np.sqrt(2)  # what independent draws would give


def test_correlation_of_scores_is_that_of_the_errors():
    rng = np.random.default_rng(9)
    common, first, second = rng.standard_normal((3, 50_000))
    # errors of the two are common -+ their own noise: correlation 1 / (1 + 1)
    rows = rows_of(common, reference=(-first, np.sqrt(2)), a=(-second, np.sqrt(2)))
    assert score_correlation(rows)[0, 1] == pytest.approx(0.5, abs=0.02)


def test_weights_are_exponential_in_relative_loss_and_in_samples():
    z_return = np.random.default_rng(10).standard_normal(400)
    rows = rows_of(z_return, horizon=20, reference=(0.0, 1.0), a=(0.5, 1.0))
    errors = np.asarray(settings.QUANTILE_LEVELS)
    losses = []
    for i in range(2):
        gap = z_return[:, None] - rows.quantiles[:, i]
        losses.append(np.maximum(errors * gap, (errors - 1) * gap).mean())
    raw = np.exp(-20 * np.array(losses) / losses[0])
    assert performance_weights(rows, 20) == pytest.approx(raw / raw.sum())


# ---------- the registry


def registry(**changes) -> pd.DataFrame:
    required = [
        {"ensemble_method": name, "module": f"zl_forecast.ensembles.{name}", "base_method": None}
        for name in ("reference_alone", "average")
    ]
    row = {"ensemble_method": "mine", "module": "zl_forecast.ensembles.average", "base_method": None}
    return pd.DataFrame([*required, row | changes])


def test_every_row_of_the_seed_names_a_method(pytestconfig):
    seed = pd.read_csv(pytestconfig.rootpath / "seeds" / "ensemble_methods.csv")
    loaded = load_methods(seed)
    assert list(loaded) == seed["ensemble_method"].tolist()
    assert all(registered.method.__doc__ for registered in loaded.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"module": "zl_forecast.ensembles.alchemy"}, "Create zl_forecast.ensembles.alchemy"),
        ({"module": "zl_forecast.ensembles.base"}, "has no constant METHOD"),
        ({"base_method": "nobody"}, "'mine' of seeds/ensemble_methods.csv: base method 'nobody' does not exist"),
        ({"base_method": "mine"}, "base method 'mine' does not exist or has a base method itself"),
    ],
)
def test_a_row_with_an_unknown_name_is_refused_by_name(changes, message):
    with pytest.raises(TournamentError, match=message):
        load_methods(registry(**changes))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("raise ValueError('no licence')", "ValueError: no licence. Fix broken_method"),
        ("import pandas; pandas.no_such_thing", "AttributeError: .*Fix broken_method"),
        ("import not_installed", "No module named 'not_installed'. Fix broken_method"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_its_own_error(tmp_path, monkeypatch, source, message):
    (tmp_path / "broken_method.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken_method", raising=False)
    with pytest.raises(TournamentError, match=message):
        load_methods(registry(module="broken_method"))


@pytest.mark.parametrize("name", ["reference_alone", "average"])
def test_a_registry_without_the_fallback_or_the_average_is_refused(name):
    with pytest.raises(TournamentError, match=f"has no method '{name}', with which all others are"):
        load_methods(registry().query("ensemble_method != @name"))


# ---------- what each docstring claims of overlap, dependence and time


def test_an_outcome_is_compared_with_the_band_of_its_origin():
    # 99 outcomes far outside widen the band. Then an outcome matures that was forecast before any of them was known.
    # It is outside the band of its origin (1.28) but inside the band of the day on which it matures.
    z_return = np.full(101, 50.0)
    z_return[99] = 1.35
    rows = rows_of(z_return, 100, reference=(0.0, 1.0), a=(0.0, 1.0))
    method = Conformal().fit(rows.take(slice(0, 99)))
    new_day = replace(rows.take(slice(100, 101)), as_of_date=rows.target_date[99:100])
    before = method.predict(new_day)[0, 5]
    assert before > 1.35
    method.update(rows.take(slice(99, 100)))
    assert method.predict(new_day)[0, 5] > before


def test_dynamic_averaging_counts_overlapping_rows_once_per_horizon_and_measures_memory_in_samples():
    z_return = np.random.default_rng(12).normal(0.3, 1, 30)
    once = rows_of(z_return, reference=(0.0, 1.0), a=(0.3, 1.0), b=(-0.3, 1.0))
    many = rows_of(np.repeat(z_return, 20), horizon=20, reference=(0.0, 1.0), a=(0.3, 1.0), b=(-0.3, 1.0))
    first, second = (DynamicModelAveraging().fit(rows).weights(rows)[0] for rows in (once, many))
    assert second == pytest.approx(first, abs=0.02)
    assert first.max() > 0.5


def test_a_common_bias_counts_as_dependence():
    rng = np.random.default_rng(13)
    first, second = 0.3 * rng.standard_normal((2, 2000))
    rows = rows_of(
        np.full(2000, 2.0), reference=(first, 1.0), a=(second, 1.0)
    )  # both miss by two, each with its own noise
    assert score_correlation(rows)[0, 1] > 0.9


def test_the_slope_of_the_regression_combination_is_estimated_on_held_out_folds():
    rng = np.random.default_rng(14)
    noise = {f"input_{i}": (rng.standard_normal(400), 1.0) for i in range(20)}
    z_return = np.convolve(rng.standard_normal(419), np.ones(20) / np.sqrt(20), "valid")
    rows = rows_of(z_return, 20, reference=(0.0, 1.0), **noise)
    assert np.abs(GrangerRamanathan().fit(rows).weights(rows)[0]).sum() < 0.05


def test_the_weight_of_an_input_that_hardly_moved_stays_near_zero_in_the_regression_combination():
    rng = np.random.default_rng(15)
    signal = rng.standard_normal(400)
    rows = rows_of(signal + rng.standard_normal(400), 5, reference=(0.0, 1.0), quiet=(1e-6 * signal, 1.0))
    assert np.abs(GrangerRamanathan().fit(rows).weights(rows)).max() < 1e-3


def test_the_prior_of_the_regression_combination_counts_rows_as_samples_that_do_not_overlap():
    rng = np.random.default_rng(16)
    x, y = rng.standard_normal((2, 300))
    y += x
    (weight,) = regression_weights(x[:, None], y, horizon=20)
    assert weight == pytest.approx(x @ y / (x @ x + 20))

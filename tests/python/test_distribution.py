"""Distributions from seven quantiles, against the normal one and mixtures from another root finder."""

import duckdb
import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.optimize import brentq

from zl_forecast import distribution, settings
from zl_forecast.sql_functions import Plugin

LEVELS = np.array(settings.QUANTILE_LEVELS)
SKEWED = np.array([-4.0, -2.0, -0.5, 0.0, 1.0, 1.5, 3.0])


def normal(mean: float, deviation: float) -> np.ndarray:
    return stats.norm.ppf(LEVELS, mean, deviation)


def test_quantiles_of_a_normal_give_back_that_normal_also_in_the_tails():
    quantiles, x = normal(1, 2)[None], np.array([[-9.0, 0.0, 1.0, 3.5, 12.0]])
    assert distribution.probabilities(quantiles, x)[0] == pytest.approx(stats.norm.cdf(x[0], 1, 2), rel=1e-9)
    assert distribution.log_densities(quantiles, x)[0] == pytest.approx(stats.norm.logpdf(x[0], 1, 2))
    levels = np.array([1e-4, 0.03, 0.4, 0.999])
    assert distribution.values(quantiles, stats.norm.ppf(levels))[0] == pytest.approx(stats.norm.ppf(levels, 1, 2))


def test_values_pass_through_the_quantiles_and_normal_scores_are_their_inverse():
    assert distribution.values(SKEWED, distribution.SCORES) == pytest.approx(SKEWED)
    scores = np.linspace(-4, 4, 41)
    back = distribution.normal_scores(SKEWED[None], distribution.values(SKEWED, scores)[None])[0]
    assert back == pytest.approx(scores, abs=1e-9)


def test_tails_continue_with_the_slope_between_quartile_and_outermost_level():
    # from -0.5 at 25 % to -4 at 5 %, and from 1 at 75 % to 3 at 95 %
    outer, quartile = stats.norm.ppf([0.95, 0.75])
    beyond = (3 - outer) / (outer - quartile)
    assert distribution.values(SKEWED, [-3.0, 3.0]) == pytest.approx([-4 - 3.5 * beyond, 3 + 2 * beyond])


def test_a_density_integrates_to_one():
    x = np.linspace(-30, 30, 200_001)
    density = np.exp(distribution.log_densities(SKEWED[None], x[None]))[0]
    assert density.sum() * (x[1] - x[0]) == pytest.approx(1, abs=1e-3)


def test_rows_are_independent_of_one_another():
    both = np.stack([normal(0, 1), SKEWED])
    x = np.array([[0.3, 2.0], [0.3, 2.0]])
    for row in (0, 1):
        alone = distribution.probabilities(both[[row]], x[[row]])[0]
        assert distribution.probabilities(both, x)[row] == pytest.approx(alone)


def test_equal_quantiles_have_a_finite_density():
    point = np.zeros((1, 7))
    assert np.isfinite(distribution.log_densities(point, np.array([[0.0, 3.0]]))).all()
    assert distribution.probabilities(point, np.array([[-1.0, 1.0]]))[0] == pytest.approx([0, 1])


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.9])
def test_mixture_quantiles_solve_the_mixture_and_are_not_the_mean_of_quantiles(weight):
    components = np.stack([normal(-2, 1), normal(3, 0.5)])[None]
    found = distribution.mixture_quantiles(components, np.array([weight, 1 - weight]))[0]

    def below(x):
        return weight * stats.norm.cdf(x, -2, 1) + (1 - weight) * stats.norm.cdf(x, 3, 0.5)

    solved = [brentq(lambda x, level=level: below(x) - level, -20, 20) for level in LEVELS]
    assert found == pytest.approx(solved, abs=1e-6)
    if weight == 0.3:
        mean = weight * components[0, 0] + (1 - weight) * components[0, 1]
        assert np.abs(found - mean).max() > 1


def test_sql_has_the_same_distribution_function_and_keeps_nulls():
    rng = np.random.default_rng(4)
    quantiles, x = np.sort(rng.standard_normal((3000, 7)), axis=1), rng.standard_normal(3000)
    rows = pd.DataFrame({"q": list(quantiles), "x": x})
    with duckdb.connect() as con:
        Plugin("functions", {}).configure_connection(con.register("rows", rows))
        found = con.execute("select probability_below(q, x) as p from rows").df()["p"]
        assert con.execute("select probability_below(null::double[], 1.0)").fetchone() == (None,)
    np.testing.assert_array_equal(found, distribution.probabilities(quantiles, x[:, None])[:, 0])

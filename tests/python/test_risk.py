"""Risk of the final distribution against closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.errors import ZlForecastError
from zl_forecast.risk import PRICE_COLUMNS, draw_prices, risk_table

LEVELS = pd.DataFrame({"level": [60.0, -10.0], "unit": ["cents_per_lb", "percent_of_last"]})


@pytest.fixture(scope="module")
def lognormal():
    """A forecast whose log price is normal with mean log 50 and standard deviation 0.2."""
    prices = 50 * np.exp(0.2 * norm.ppf(settings.QUANTILE_LEVELS))
    row = {"as_of_date": pd.Timestamp("2024-01-02"), "horizon_days": 20, "horizon_code": "1m"}
    row |= {"target_date": pd.Timestamp("2024-01-31"), "last_price": 50.0, "data_source": "simulated"}
    return pd.DataFrame([row | dict(zip(PRICE_COLUMNS, prices, strict=True))])


@pytest.fixture(scope="module")
def risk(lognormal):
    return risk_table(lognormal, LEVELS).set_index(["side", "measure"])["value"]


def test_draws_reproduce_the_quantiles_that_they_came_from(lognormal):
    quantiles = lognormal[list(PRICE_COLUMNS)].to_numpy()[0]
    drawn = draw_prices(quantiles, (np.arange(100_000) + 0.5) / 100_000)
    assert np.quantile(drawn, settings.QUANTILE_LEVELS) == pytest.approx(quantiles, rel=1e-3)


def test_var_is_the_lognormal_quantile_beyond_the_last_price(risk):
    assert risk["buyer", "var_99"] == pytest.approx(50 * np.exp(0.2 * norm.ppf(0.99)) - 50, rel=0.01)
    assert risk["holder", "var_95"] == pytest.approx(50 - 50 * np.exp(0.2 * norm.ppf(0.05)), rel=0.01)


def test_cvar_is_the_mean_loss_beyond_var(risk):
    tail_mean = 50 * np.exp(0.2**2 / 2) * norm.sf(norm.ppf(0.95) - 0.2) / 0.05  # mean of the upper 5 % of a lognormal
    assert risk["buyer", "cvar_95"] == pytest.approx(tail_mean - 50, rel=0.01)


def test_rises_hurt_a_buyer_more_than_falls_hurt_a_holder_of_a_lognormal_price(risk):
    assert risk["buyer", "var_95"] > risk["holder", "var_95"]


def test_level_probabilities_are_the_normal_ones(risk):
    assert risk["buyer", "prob_above"] == pytest.approx(norm.sf(np.log(60 / 50) / 0.2), abs=0.002)
    assert risk["holder", "prob_below"] == pytest.approx(norm.cdf(np.log(0.9) / 0.2), abs=0.002)


def test_same_forecast_gives_the_same_risk(lognormal):
    pd.testing.assert_frame_equal(risk_table(lognormal, LEVELS), risk_table(lognormal, LEVELS))


def test_unknown_unit_of_a_level_is_refused_by_name(lognormal):
    with pytest.raises(ZlForecastError, match="has the unit euro"):
        risk_table(lognormal, pd.DataFrame({"level": [1.0], "unit": ["euro"]}))

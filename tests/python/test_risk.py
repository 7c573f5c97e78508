"""Paths through the final distributions, and risk measures, against closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from zl_forecast import distribution, settings
from zl_forecast.errors import ZlForecastError
from zl_forecast.risk import PRICE_COLUMNS, daily_log_returns, risk_table, sample_paths

SCORES = norm.ppf(settings.QUANTILE_LEVELS)
LAST = 50.0
DAILY = 0.015  # standard deviation of the cone's daily log return
HORIZONS = (5, 20, 60, 120)
LEVELS = pd.DataFrame({"level": [60.0, -10.0, 5.0], "unit": ["cents_per_lb", "percent_of_last", "percent_of_last"]})


def forecast(log_quantiles: dict[int, np.ndarray]) -> pd.DataFrame:
    """Build the columns of zl_forecast that are read, from quantiles of the log return by horizon."""
    origin = {"as_of_date": pd.Timestamp("2024-01-02"), "last_price": LAST, "data_source": "simulated"}
    rows = [
        {
            "horizon_days": days,
            "horizon_code": f"{days}d",
            "target_date": pd.Timestamp("2024-01-02") + pd.offsets.BDay(days),
        }
        | origin
        | dict(zip(PRICE_COLUMNS, LAST * np.exp(quantiles), strict=True))
        for days, quantiles in log_quantiles.items()
    ]
    return pd.DataFrame(rows)


def cone(horizons=HORIZONS, daily: float = DAILY) -> pd.DataFrame:
    """A Gaussian random walk without drift of the log price: its median is the last price."""
    return forecast({days: daily * np.sqrt(days) * SCORES for days in horizons})


def measured(risk: pd.DataFrame, measure: str, level: float | None = None) -> pd.Series:
    """Select the value of a measure by horizon."""
    rows = risk[(risk["measure"] == measure) & (True if level is None else np.isclose(risk["level_cents"], level))]
    return rows.set_index("horizon_days")["value"]


@pytest.fixture(scope="module")
def asymmetric():
    """Marginals of different shapes: drift, skew to either side, fat tails, and six months narrower than three."""
    return forecast(
        {
            5: 0.01 + 0.04 * SCORES + 0.01 * SCORES**2,
            20: -0.02 + 0.07 * SCORES - 0.01 * SCORES**2,
            60: 0.03 + 0.10 * SCORES + 0.03 * SCORES**3,
            120: -0.05 + 0.06 * SCORES,
        }
    )


@pytest.fixture(scope="module")
def paths():
    return sample_paths(cone())


@pytest.fixture(scope="module")
def risk(paths):
    return risk_table(paths, LEVELS)


@pytest.mark.parametrize("days", HORIZONS)
def test_paths_reproduce_each_of_the_four_marginals(asymmetric, days):
    paths = sample_paths(asymmetric)
    published = asymmetric.set_index("horizon_days").loc[days, list(PRICE_COLUMNS)].to_numpy(float)
    prices = paths.loc[paths["horizon_days"] == days, "price"].to_numpy()
    assert len(prices) == settings.RISK_PATHS
    assert np.quantile(prices, settings.QUANTILE_LEVELS) == pytest.approx(published, rel=2e-4)
    shares = (prices[:, None] <= published).mean(axis=0)
    assert shares == pytest.approx(settings.QUANTILE_LEVELS, abs=1 / settings.RISK_PATHS)
    between = norm.ppf([0.01, 0.33, 0.6, 0.99])
    assert np.quantile(prices, norm.cdf(between)) == pytest.approx(
        np.exp(distribution.values(np.log(published), between)), rel=2e-3
    )


def test_horizons_are_those_of_the_forecast_in_any_order():
    paths = sample_paths(cone(horizons=(21, 3)))
    assert paths["horizon_days"].unique().tolist() == [3, 21]
    widths = np.log(paths["price"] / LAST).groupby(paths["horizon_days"]).std()
    assert widths.to_numpy() == pytest.approx(DAILY * np.sqrt([3, 21]), rel=2e-3)


def test_horizons_of_a_gaussian_cone_are_correlated_as_a_random_walk(paths):
    logs = np.log(paths.pivot(index="path_number", columns="horizon_days", values="price"))
    expected = [[np.sqrt(min(a, b) / max(a, b)) for b in HORIZONS] for a in HORIZONS]
    assert logs.corr().to_numpy() == pytest.approx(np.array(expected), abs=0.025)  # 2.5 standard errors of 10,000 paths


def test_correlation_of_normal_scores_does_not_depend_on_the_marginals(asymmetric, paths):
    ranks = [
        p.pivot(index="path_number", columns="horizon_days", values="price").rank()
        for p in (sample_paths(asymmetric), paths)
    ]
    pd.testing.assert_frame_equal(*ranks)


def test_width_grows_with_the_square_root_of_time_between_horizons_of_a_cone():
    returns = daily_log_returns(np.array(HORIZONS), DAILY * np.sqrt(HORIZONS)[:, None] * SCORES)
    assert returns.shape == (120, settings.RISK_PATHS)
    assert returns.std(axis=1) == pytest.approx(DAILY * np.sqrt(np.arange(1, 121)), rel=2e-3)
    assert np.median(returns, axis=1) == pytest.approx(np.zeros(120), abs=1e-4)


def test_daily_steps_of_a_cone_are_independent():
    returns = daily_log_returns(np.array(HORIZONS), DAILY * np.sqrt(HORIZONS)[:, None] * SCORES)
    steps = np.diff(returns, axis=0)[[30, 31, 90]]  # two adjacent sessions and a distant one
    assert steps.std(axis=1) == pytest.approx(DAILY, rel=0.03)
    assert np.corrcoef(steps) == pytest.approx(np.eye(3), abs=0.03)


def test_a_forecast_that_narrows_gives_finite_paths_within_both_distributions():
    narrowing = forecast({60: 0.20 * SCORES, 120: 0.05 * SCORES})
    paths = sample_paths(narrowing)
    assert np.isfinite(paths.select_dtypes("number")).all(axis=None)
    spread = np.log(paths["price"] / LAST).groupby(paths["horizon_days"]).std()
    assert spread.to_numpy() == pytest.approx([0.20, 0.05], rel=2e-3)
    high = paths.pivot(index="path_number", columns="horizon_days", values="highest_close")
    assert (high[120] >= high[60]).all()  # the maximum of a path cannot decrease


def test_extremes_include_the_last_price_and_every_price_of_the_path(paths):
    assert (paths["highest_close"] >= np.maximum(paths["price"], LAST)).all()
    assert (paths["lowest_close"] <= np.minimum(paths["price"], LAST)).all()
    high = paths.pivot(index="path_number", columns="horizon_days", values="highest_close")
    low = paths.pivot(index="path_number", columns="horizon_days", values="lowest_close")
    assert (high.diff(axis=1).iloc[:, 1:] >= 0).all(axis=None)
    assert (low.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_same_forecast_gives_the_same_paths_and_the_same_risk(asymmetric):
    pd.testing.assert_frame_equal(sample_paths(asymmetric), sample_paths(asymmetric))
    tables = [risk_table(sample_paths(asymmetric), LEVELS) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(("tail", "name"), [(0.95, "95"), (0.99, "99")])
def test_var_is_the_lognormal_quantile_beyond_the_last_price(risk, tail, name):
    z = DAILY * np.sqrt(HORIZONS) * norm.ppf(tail)
    by_side = risk[risk["measure"] == f"var_{name}"].pivot(index="horizon_days", columns="side", values="value")
    assert by_side["buyer"].to_numpy() == pytest.approx(LAST * (np.exp(z) - 1), rel=2e-3)
    assert by_side["holder"].to_numpy() == pytest.approx(LAST * (1 - np.exp(-z)), rel=2e-3)


@pytest.mark.parametrize(("tail", "name"), [(0.95, "95"), (0.99, "99")])
def test_cvar_is_the_mean_loss_beyond_var(risk, tail, name):
    widths = DAILY * np.sqrt(HORIZONS)
    # partial means of a lognormal: E[exp(sZ) | Z > z] = exp(s^2 / 2) P(Z > z - s) / P(Z > z), and its mirror image
    upper = LAST * np.exp(widths**2 / 2) * norm.sf(norm.ppf(tail) - widths) / (1 - tail)
    lower = LAST * np.exp(widths**2 / 2) * norm.cdf(-norm.ppf(tail) - widths) / (1 - tail)
    by_side = risk[risk["measure"] == f"cvar_{name}"].pivot(index="horizon_days", columns="side", values="value")
    assert by_side["buyer"].to_numpy() == pytest.approx(upper - LAST, rel=3e-3)
    assert by_side["holder"].to_numpy() == pytest.approx(LAST - lower, rel=3e-3)


def test_with_lognormal_prices_a_buyers_var_exceeds_a_holders(risk):
    by_side = risk[risk["measure"] == "var_95"].pivot(index="horizon_days", columns="side", values="value")
    assert (by_side["buyer"] > by_side["holder"]).all()


def test_probability_of_ending_beyond_a_level_is_the_normal_one(risk):
    widths = DAILY * np.sqrt(HORIZONS)
    assert measured(risk, "prob_above", 60.0).to_numpy() == pytest.approx(norm.sf(np.log(60 / 50) / widths), abs=2e-4)
    assert measured(risk, "prob_below", 45.0).to_numpy() == pytest.approx(norm.cdf(np.log(0.9) / widths), abs=2e-4)


@pytest.mark.parametrize(
    ("measure", "level"), [("prob_touch_above", 60.0), ("prob_touch_above", 52.5), ("prob_touch_below", 45.0)]
)
def test_probability_of_touching_a_level_obeys_the_reflection_principle(risk, measure, level):
    # for daily closes Broadie, Glasserman and Kou (1997) shift the barrier by 0.5826 daily standard deviations
    away = abs(np.log(level / LAST)) + 0.5826 * DAILY
    expected = 2 * norm.sf(away / (DAILY * np.sqrt(HORIZONS)))
    assert measured(risk, measure, level).to_numpy() == pytest.approx(expected, abs=0.01)


def test_touching_is_never_rarer_than_ending_beyond(asymmetric):
    risk = risk_table(sample_paths(asymmetric), LEVELS)
    for name in ("above", "below"):
        ending, touching = (
            risk[risk["measure"] == f"{m}_{name}"].set_index(["horizon_days", "level_cents"])["value"]
            for m in ("prob", "prob_touch")
        )
        assert len(ending) == len(touching) > 0
        assert (touching >= ending).all()


def test_levels_above_the_last_price_are_buyer_risks_and_levels_below_holder_risks(risk):
    sides = risk.dropna(subset="level_cents").groupby("level_cents")["side"].unique().map(list)
    assert sides.to_dict() == {45.0: ["holder"], 52.5: ["buyer"], 60.0: ["buyer"]}


def test_expected_range_of_a_random_walk_is_spitzers_formula():
    daily = 0.0005  # so small that price and log price are nearly proportional
    risk = risk_table(sample_paths(cone(daily=daily)), LEVELS)
    # Spitzer (1956): E[max(0, S_1 ... S_n)] = sum E[S_k^+] / k; about daily * (sqrt(2 n / pi) - 0.5826)
    expected = np.array([daily / np.sqrt(2 * np.pi) * (np.arange(1, n + 1) ** -0.5).sum() for n in HORIZONS])
    assert expected[-1] == pytest.approx(daily * (np.sqrt(2 * 120 / np.pi) - 0.5826), rel=0.01)
    assert measured(risk, "expected_high").to_numpy() / LAST - 1 == pytest.approx(expected, rel=0.015)
    assert 1 - measured(risk, "expected_low").to_numpy() / LAST == pytest.approx(expected, rel=0.015)


def test_expected_range_contains_the_last_price_and_widens_with_the_horizon(asymmetric):
    risk = risk_table(sample_paths(asymmetric), LEVELS)
    high, low = measured(risk, "expected_high"), measured(risk, "expected_low")
    assert (low <= LAST).all()
    assert (high >= LAST).all()
    assert (high.diff().dropna() > 0).all()
    assert (low.diff().dropna() < 0).all()


def test_every_row_has_a_unit_and_only_level_rows_have_a_level(risk):
    is_probability = risk["measure"].str.startswith("prob_")
    assert risk["unit"].tolist() == np.where(is_probability, "probability", "cents_per_lb").tolist()
    assert (risk["level_cents"].notna() == is_probability).all()
    assert len(risk) == len(HORIZONS) * (8 + 2 + 2 * len(LEVELS))
    assert risk["value"].notna().all()


def test_unknown_unit_of_a_level_is_refused_by_name(paths):
    with pytest.raises(ZlForecastError, match="has the unknown unit euro"):
        risk_table(paths, pd.DataFrame({"level": [1.0], "unit": ["euro"]}))


@pytest.mark.parametrize(
    ("level", "unit", "price"),
    [(-120.0, "percent_of_last", "-10"), (0.0, "cents_per_lb", "0"), (np.nan, "cents_per_lb", "nan")],
)
def test_an_invalid_price_level_is_refused_with_the_price(paths, level, unit, price):
    with pytest.raises(
        ZlForecastError, match=f"the level {level:g} {unit}, a price of {price} cents/lb. Give a price above 0"
    ):
        risk_table(paths, pd.DataFrame({"level": [10.0, level], "unit": ["cents_per_lb", unit]}))


@pytest.mark.parametrize(
    ("column", "price"), [("p05", -1.0), ("p25", np.nan), ("p95", np.inf), ("p50", 90.0), ("last_price", 0.0)]
)
def test_invalid_price_quantiles_are_refused_with_the_horizon(column, price):
    broken = cone(horizons=(20,)).assign(**{column: price})
    with pytest.raises(ZlForecastError, match=r"horizon_days 20 the last price .* must be positive and ascend"):
        sample_paths(broken)


def test_rows_of_two_origins_are_refused():
    two = pd.concat([cone(), cone().assign(as_of_date=pd.Timestamp("2024-01-03"))])
    with pytest.raises(ZlForecastError, match=r"8 rows with 2 origins .* and 4 horizons"):
        sample_paths(two)


def test_no_rows_are_refused():
    with pytest.raises(ZlForecastError, match="0 rows with 0 origins"):
        sample_paths(cone().head(0))

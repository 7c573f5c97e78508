"""GARCH: recovers simulated processes, forecasts their width, and stays bounded."""

import numpy as np
import pandas as pd
import pytest
import through_autogluon as tournament

from zl_forecast import settings
from zl_forecast.families import garch
from zl_forecast.families.garch import Garch
from zl_forecast.families.lookback import RETURN_LAGS, read_sessions

LEVERAGED = Garch(omega=4e-6, alpha=0.03, gamma=0.10, beta=0.89, nu=7.0)  # persistence 0.97, mean volatility 1.15 %
PLAIN = Garch(omega=6e-6, alpha=0.09, gamma=0.0, beta=0.88, nu=7.0)


def simulated(process: Garch, n: int, seed: int) -> np.ndarray:
    """Simulate daily log returns of a process after 500 discarded sessions."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(process.nu, n + 500) * np.sqrt((process.nu - 2) / process.nu)
    variance, returns = process.omega / max(1 - process.persistence(), 0.01), []
    for shock in shocks:
        returns.append(np.sqrt(variance) * shock)
        variance = process.next_variance(variance, returns[-1])
    return np.array(returns[500:])


@pytest.fixture(scope="module")
def market(market_rows, tmp_path_factory):
    """2,000 sessions of a GARCH-t process to train on, 3,000 to test on."""
    rows = market_rows(simulated(PLAIN, 5060, seed=11), horizons=(5, 20, 60))
    train, test = tournament.split(rows, 2000)
    return tournament.fit(garch.FAMILY, train, tmp_path_factory.mktemp("garch")), train, test


def test_the_parameters_of_a_simulated_gjr_garch_t_are_recovered():
    chosen, found = garch.fit_garch(simulated(LEVERAGED, 4000, seed=1))
    assert chosen == "gjr_garch_t"
    assert found.alpha == pytest.approx(LEVERAGED.alpha, abs=0.025)
    assert found.gamma == pytest.approx(LEVERAGED.gamma, abs=0.05)
    assert found.beta == pytest.approx(LEVERAGED.beta, abs=0.04)
    assert found.nu == pytest.approx(LEVERAGED.nu, abs=2)
    assert found.persistence() == pytest.approx(LEVERAGED.persistence(), abs=0.015)
    mean_variance = found.omega / (1 - found.persistence())
    assert mean_variance == pytest.approx(LEVERAGED.omega / (1 - LEVERAGED.persistence()), rel=0.25)


@pytest.mark.parametrize("seed", range(3))
def test_leverage_is_selected_only_if_planted(seed):
    assert garch.fit_garch(simulated(LEVERAGED, 3000, seed))[0] == "gjr_garch_t"
    assert garch.fit_garch(simulated(PLAIN, 3000, seed))[0] == "garch_t"


def test_normal_shocks_are_recognised():
    normal = Garch(PLAIN.omega, PLAIN.alpha, 0.0, PLAIN.beta, nu=1e6)
    chosen, found = garch.fit_garch(simulated(normal, 3000, seed=4))
    assert chosen == "garch_normal"
    assert np.isinf(found.nu)


def test_the_variance_of_a_sum_worked_by_hand():
    process = Garch(omega=1.0, alpha=0.1, gamma=0.2, beta=0.3, nu=np.inf)  # persistence 0.5, mean 2
    # variances 4, then 1 + 0.5 * 4 = 3, then 1 + 0.5 * 3 = 2.5
    assert garch.sum_variance(process, np.array([4.0]), 3) == pytest.approx(9.5)


def test_the_filter_is_the_recursion_of_the_arch_package():
    from arch import arch_model

    returns = simulated(LEVERAGED, 800, seed=2)
    fit = arch_model(100 * returns, mean="Zero", p=1, o=1, q=1, dist="t", rescale=False).fit(disp="off")
    chosen = Garch(*(fit.params[["omega", "alpha[1]", "gamma[1]", "beta[1]"]] / [1e4, 1, 1, 1]), fit.params["nu"])
    ours = 100 * np.sqrt(garch.filtered_variance(chosen, returns))
    np.testing.assert_allclose(
        ours[300:-1], fit.conditional_volatility[300:], rtol=1e-6
    )  # different starting values are forgotten
    ahead = fit.forecast(horizon=20, reindex=False).variance.to_numpy().sum()
    assert 1e4 * garch.sum_variance(chosen, ours[-1] ** 2 / 1e4, 20) == pytest.approx(ahead, rel=1e-6)


@pytest.mark.parametrize("process", [PLAIN, LEVERAGED])
def test_simulated_sums_have_the_analytic_variance_at_every_start(process):
    rng = np.random.default_rng(8)
    shocks = rng.standard_t(process.nu, 4000)
    shocks = (shocks - shocks.mean()) / shocks.std()
    fine = (np.arange(4000) + 0.5) / 4000
    mean_variance = process.omega / (1 - process.persistence())
    starts = mean_variance * np.array([0.25, 1.0, 4.0])
    shapes = garch.simulated_shapes(process, shocks, starts, [5, 20, 60], tuple(fine))
    np.testing.assert_allclose((shapes**2).mean(axis=2), 1.0, atol=0.07)  # 8,000 mirrored paths with fat tails
    np.testing.assert_allclose(shapes.mean(axis=2), 0.0, atol=0.02)


def test_leverage_skews_sums_to_the_downside():
    shocks = np.random.default_rng(8).standard_normal(4000)
    starts = np.array([LEVERAGED.omega / (1 - LEVERAGED.persistence())])
    shape = garch.simulated_shapes(LEVERAGED, shocks / shocks.std(), starts, [20], settings.QUANTILE_LEVELS)[0, 0]
    shape = shape - shape[3]
    assert -shape[0] > 1.05 * shape[-1]


def test_garch_beats_a_constant_variance_and_the_reference_out_of_sample(market_rows, tmp_path):
    losses = []
    for seed in (11, 12, 13):
        train, test = tournament.split(market_rows(simulated(PLAIN, 5060, seed), horizons=(5, 20, 60)), 2000)
        moves = {
            h: np.quantile(own["z_return"] * own["ewma_volatility"], settings.QUANTILE_LEVELS)
            for h, own in train.groupby("horizon_days")
        }
        constant = np.stack([moves[h] for h in test["horizon_days"]]) / test["ewma_volatility"].to_numpy()[:, None]
        forecasts = {
            "garch": tournament.fit(garch.FAMILY, train, tmp_path / str(seed)).forecast(test),
            "constant": constant,
            "reference": tournament.reference_forecast(train, test),
        }
        losses.append(pd.DataFrame({name: tournament.loss(test, quantiles) for name, quantiles in forecasts.items()}))
    mean = sum(losses).loc[[5, 20]]
    assert (mean["garch"] < 0.988 * mean["constant"]).all()
    assert (mean["garch"] < 0.995 * mean["reference"]).all()


def test_its_bands_have_nominal_coverage(market):
    fitted, _, test = market
    quantiles = fitted.forecast(test)
    inside = (test["z_return"] > quantiles[:, 1]) & (test["z_return"] < quantiles[:, 5])
    covered = inside.groupby(test["horizon_days"]).mean()
    assert (
        covered.loc[[5, 20]] - 0.8
    ).abs().max() < 0.06  # 150 independent samples of 20 sessions: standard error 0.03


def test_the_centre_stays_at_the_last_price(market):
    fitted, _, test = market
    assert (fitted.forecast(test)[:, 3] == 0).all()


def test_bands_revert_to_the_mean_volatility(market):
    """In units of the volatility at the origin, bands are wider in calm than in volatile sessions."""
    fitted, _, test = market
    width = np.ptp(fitted.forecast(test), axis=1)
    for h in (20, 60):
        rows = (test["horizon_days"] == h).to_numpy()
        assert (
            pd.Series(width[rows]).corr(test.loc[rows, "ewma_volatility"].reset_index(drop=True), method="spearman")
            < -0.7
        )


@pytest.mark.parametrize("seed", range(3))
def test_an_integrated_fit_does_not_explode_over_120_steps(market_rows, tmp_path, seed):
    integrated = Garch(omega=1e-6, alpha=0.12, gamma=0.0, beta=0.88, nu=4.0)
    returns = simulated(integrated, 860, seed)
    rows = market_rows(returns)
    train, test = tournament.split(rows, 500)
    fitted = tournament.fit(garch.FAMILY, train, tmp_path)
    found = fitted.model.model["garch"]
    assert found.persistence() <= garch.MAX_PERSISTENCE + 1e-9
    far = rows[(rows["horizon_days"] == 120) & (rows["as_of_date"] >= test["as_of_date"].min())]
    assert (np.ptp(fitted.forecast(far), axis=1) < 12).all()  # P05 to P95 of a normal is 3.3
    crash = far.assign(return_lag_000=-0.25)  # an extreme return with ewma_volatility not yet raised
    assert np.isfinite(fitted.forecast(crash)).all()
    assert np.ptp(fitted.forecast(crash), axis=1).max() < 120


def test_the_scale_follows_targets_that_move_more_than_returns_and_is_shrunk_with_few_samples(market_rows, tmp_path):
    rows = market_rows(simulated(PLAIN, 2060, seed=5), horizons=(5, 20, 120))
    train, _ = tournament.split(rows, 1900)
    wide = train.assign(z_return=1.3 * train["z_return"])
    scales = tournament.fit(garch.FAMILY, wide, tmp_path).model.model["scales"]
    assert scales[5] == pytest.approx(1.3, abs=0.12)
    assert 1.0 < scales[120] < scales[5]


@pytest.mark.parametrize("missing", ["long horizons at the end", "purged sessions", "two hundred sessions"])
def test_the_series_behind_the_rows_is_recovered(market_rows, missing):
    returns = simulated(PLAIN, 700, seed=6)
    rows = market_rows(returns)
    day = rows["as_of_date"].rank(method="dense")
    kept = {
        "long horizons at the end": rows["is_matured"] & (rows["target_date"] < rows["as_of_date"].max()),
        "purged sessions": ~day.between(400, 405),
        "two hundred sessions": ~day.between(300, 500),
    }[missing]
    sessions = read_sessions(tournament.shown(rows[kept]))
    series = garch.contiguous(sessions.returns, garch.session_positions(sessions))
    last = len(returns) - 1 if missing != "long horizons at the end" else len(returns) - 1 - 6
    series = series[~np.isnan(series)]
    np.testing.assert_array_equal(series[-300:], returns[last - 299 : last + 1])
    np.testing.assert_array_equal(series, returns[: last + 1])


def test_look_backs_without_overlap_are_concatenated(market_rows):
    rows = market_rows(simulated(PLAIN, 1000, seed=6), horizons=(5, 20, 60))
    day = rows["as_of_date"].rank(method="dense")
    sessions = read_sessions(tournament.shown(rows[~day.between(300, 700)]))
    assert np.diff(garch.session_positions(sessions)).max() == RETURN_LAGS


def test_it_names_its_parameters(market):
    fitted, _, test = market
    (explanation,) = garch.FAMILY.explain(fitted.model, tournament.shown(test))
    assert explanation.method == "parameters"
    named = explanation.median.iloc[0]
    assert named["persistence"] == pytest.approx(named["alpha"] + named["beta"], abs=1e-9)
    assert 0.5 ** (1 / named["half_life_sessions"]) == pytest.approx(named["persistence"])
    assert named["nu"] == pytest.approx(PLAIN.nu, abs=3)

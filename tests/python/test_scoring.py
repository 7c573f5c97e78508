"""The losses, and the test behind the verdicts."""

from pathlib import Path

import duckdb
import jinja2
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano, pinball

REPETITIONS = 300


def _overlapping(rng: np.random.Generator, n: int, overlap: int) -> np.ndarray:
    """Simulate sums of `overlap` neighbours of white noise with standard deviation 1, as overlapping targets are."""
    return np.convolve(rng.standard_normal(n + overlap - 1), np.ones(overlap) / np.sqrt(overlap), "valid")


def test_pinball_worked_by_hand():
    # quantiles -1, 0, 1 at 10, 50, 90 %; outcome 2: 0.1 * 3 + 0.5 * 2 + 0.9 * 1 = 2.2; -2 is its mirror
    quantiles = np.array([[-1.0, 0.0, 1.0]] * 3)
    expected = [2.2 / 3, 2.2 / 3, 0.2 / 3]  # outcome 0 loses 0.1 on either side
    assert pinball(np.array([2.0, -2.0, 0.0]), quantiles) == pytest.approx(expected)


def test_pinball_is_zero_only_on_the_outcome_itself():
    assert pinball(np.array([1.5]), np.full((1, 3), 1.5)) == pytest.approx([0])
    assert (pinball(np.array([1.5]), np.array([[1.4, 1.5, 1.6]])) > 0).all()


def test_pinball_is_least_at_the_true_quantiles():
    z_return = np.random.default_rng(1).standard_normal(20_000)
    losses = {
        width: pinball(z_return, np.tile([-width, 0, width], (len(z_return), 1))).mean() for width in (0.9, 1.2816, 1.7)
    }
    assert min(losses, key=losses.get) == 1.2816


def test_pinball_agrees_with_the_macro_that_scores_in_the_warehouse():
    macros = Path(__file__).parents[2] / "macros"
    source = "".join((macros / f"{name}.sql").read_text() for name in ("pinball", "row_scores"))
    row_scores = jinja2.Template(source + "{{ row_scores() }}").render()
    rng = np.random.default_rng(2)
    z_return, quantiles = rng.standard_normal(50), np.sort(rng.standard_normal((50, 3)), axis=1)
    rows = pd.DataFrame(quantiles, columns=list(settings.SCORED_COLUMNS)).assign(
        z_return=z_return, horizon_volatility=0.25, is_matured=True
    )
    scored = duckdb.connect().execute(f"select {row_scores} from rows").df()
    assert scored["pinball_pct"].to_numpy() == pytest.approx(25 * pinball(z_return, quantiles))
    assert len(rows) == len(scored)


@pytest.mark.parametrize(("n", "overlap"), [(400, 1), (1000, 60), (1000, 120)])
def test_without_skill_about_one_in_twenty_tests_reports_skill(n, overlap):
    rng = np.random.default_rng(overlap)
    verdicts = [diebold_mariano(np.zeros(n), _overlapping(rng, n, overlap), overlap).verdict for _ in range(3000)]
    # between 5 and 6.5 % in the long run, 8.5 % at (1000, 120) with half as many ordinates again; a standard error is 0.4 %
    assert 0.038 <= np.mean(np.array(verdicts) == "skill") < 0.075


@pytest.mark.parametrize(
    ("n", "overlap", "ordinates"),
    [(512, 1, 8), (511, 1, 7), (1000, 60, 5), (1080, 60, 6), (1079, 60, 5), (720, 120, 2), (8, 1, 2)],
)
def test_number_of_ordinates_is_the_cube_root_of_rows_but_at_most_a_third_of_independent_targets(n, overlap, ordinates):
    noise = np.random.default_rng(5).standard_normal(n)
    result = diebold_mariano(np.zeros(n), noise, overlap)
    assert result.degrees_of_freedom == 2 * ordinates
    assert 0 < result.p_value < 1


def test_ignoring_the_overlap_would_report_skill_far_too_often():
    rng = np.random.default_rng(60)
    false = 0
    for _ in range(REPETITIONS):
        difference = _overlapping(rng, 2000, 60)
        false += difference.mean() / (difference.std() / np.sqrt(len(difference))) > 1.645
    assert false / REPETITIONS > 0.3  # so the test above is meaningful


@pytest.mark.parametrize(("n", "overlap", "skill"), [(400, 1, 0.25), (2000, 20, 0.5), (2000, 60, 0.8)])
def test_planted_skill_is_detected(n, overlap, skill):
    rng = np.random.default_rng(overlap)
    found = [
        diebold_mariano(np.zeros(n), skill + _overlapping(rng, n, overlap), overlap).verdict == "skill"
        for _ in range(100)
    ]
    assert np.mean(found) > 0.8


def test_exchanging_the_two_forecasts_flips_the_sign_and_the_p_value():
    rng = np.random.default_rng(3)
    loss, reference = rng.gamma(2, size=500), rng.gamma(2, size=500) + 0.3
    better, worse = diebold_mariano(loss, reference, 5), diebold_mariano(reference, loss, 5)
    assert better.statistic == pytest.approx(-worse.statistic)
    assert better.p_value == pytest.approx(1 - worse.p_value)
    assert (better.verdict, worse.verdict) == ("skill", "no_skill")


def test_statistic_worked_by_hand_on_a_single_wave():
    # d = 1 + cos(2 pi t / n): mean 1, |fft|^2 / n is (n / 2)^2 / n = n / 4 at the first ordinate, else 0;
    # m is the cube root of 65, so four ordinates
    n = 65
    difference = 1 + np.cos(2 * np.pi * np.arange(n) / n)
    result = diebold_mariano(np.zeros(n), difference, overlap=1)
    variance = (n / 4) / 4
    assert result.degrees_of_freedom == 8
    assert result.statistic == pytest.approx(1 / np.sqrt(variance / n))
    assert result.p_value == pytest.approx(t.sf(result.statistic, df=8))


def test_scale_of_the_losses_does_not_matter():
    rng = np.random.default_rng(4)
    loss, reference = rng.gamma(2, size=(2, 300))
    assert diebold_mariano(loss, reference, 5).p_value == pytest.approx(
        diebold_mariano(9 * loss, 9 * reference, 5).p_value
    )


@pytest.mark.parametrize(
    ("loss", "reference", "overlap", "degrees_of_freedom"),
    [
        (np.ones(500), np.ones(500), 5, 14),  # the reference against itself
        (np.ones(500), np.full(500, 2.0), 5, 14),  # constant skill, without variance
        (np.zeros(719), np.arange(719.0), 120, 2),  # not quite six targets that do not overlap
        (np.zeros(7), np.arange(7.0), 1, 2),
        (np.array([]), np.array([]), 5, 0),
        (np.array([0.0]), np.array([1.0]), 1, 0),
        (np.array([0.0, np.nan] * 250), np.ones(500), 5, 14),
    ],
    ids=["equal", "constant", "too_few", "too_few_rows", "empty", "one", "nan"],
)
def test_forecasts_that_cannot_be_tested_have_no_skill(loss, reference, overlap, degrees_of_freedom):
    result = diebold_mariano(loss, reference, overlap)
    assert result.verdict == "no_skill"
    assert np.isnan(result.p_value)
    assert result.degrees_of_freedom == degrees_of_freedom

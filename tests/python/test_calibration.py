"""Coverage tests: arithmetic worked by hand, size and power."""

from functools import partial

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import PROJECT
from scipy.stats import binom, chi2, norm

from zl_forecast.calibration import (
    BANDS,
    COLUMNS,
    LEVEL,
    combined,
    conditional_coverage,
    coverage_backtests,
    independence,
    kupiec,
    subsample_p_values,
)
from zl_forecast.thresholds import threshold

TESTS = ("coverage", "independence", "conditional_coverage")
HISTORY = {5: 1750, 20: 1735, 60: 1695, 120: 1635}  # rows of seven years by horizon


def overlapping_hits(rng, n: int, overlap: int, coverage: float) -> np.ndarray:
    """Simulate hits of a band with true `coverage`; targets are sums over `overlap` sessions, one per session."""
    moves = np.convolve(rng.standard_normal(n + overlap - 1), np.ones(overlap), "valid") / np.sqrt(overlap)
    return np.abs(moves) <= norm.ppf(0.5 + coverage / 2)


def rejections(hits_of, n: int, overlap: int, draws: int = 400, nominal: float = 0.8) -> dict[str, float]:
    """Return the fraction of `draws` in which each combined test rejects."""
    found = dict.fromkeys(TESTS, 0.0)
    for seed in range(draws):
        p_values = subsample_p_values(hits_of(np.random.default_rng(seed), n, overlap), nominal, overlap)
        for test in TESTS:
            found[test] += (combined(p_values[test]) < LEVEL) / draws
    return found


def outcomes(inside=None, subject="published", horizon=5, code="1w", n=200, **columns) -> pd.DataFrame:
    """int_ensemble__outcomes of one subject and horizon; by default with the same hits in all three bands."""
    inside = np.arange(n) % 5 > 0 if inside is None else inside
    frame = {"subject": subject, "horizon_days": horizon, "horizon_code": code, "data_source": "simulated"}
    frame["as_of_date"] = pd.bdate_range("2015-01-01", periods=len(inside))
    return pd.DataFrame({**frame, **dict.fromkeys(BANDS.values(), inside), **columns})


# ---------- the statistics


def test_kupiec_of_fifty_in_250_at_ten_percent_worked_by_hand():
    # 2 [50 ln(0.2 / 0.1) + 200 ln(0.8 / 0.9)] = 2 (34.657 - 23.557)
    assert kupiec(50, 250, 0.1) == pytest.approx(2 * (50 * np.log(2) + 200 * np.log(8 / 9)))
    assert kupiec(50, 250, 0.1) == pytest.approx(22.2015, abs=1e-4)


def test_kupiec_is_the_ratio_of_binomial_likelihoods_and_counts_misses_as_it_counts_hits():
    hits = np.arange(1, 30)
    ratio = 2 * (binom.logpmf(hits, 30, hits / 30) - binom.logpmf(hits, 30, 0.8))
    assert kupiec(hits, 30, 0.8) == pytest.approx(np.maximum(ratio, 0), abs=1e-9)
    assert kupiec(hits, 30, 0.8) == pytest.approx(kupiec(30 - hits, 30, 0.2))
    assert kupiec(24, 30, 0.8) == pytest.approx(0)


def test_christoffersen_of_six_hits_and_misses_worked_by_hand():
    # 1 1 1 0 0 1: after a miss 1 miss and 1 hit, after a hit 1 miss and 2 hits; in all 3 hits of 5
    n00, n01, n10, n11 = 1, 1, 1, 2
    chain = 2 * np.log(1 / 2) + np.log(1 / 3) + 2 * np.log(2 / 3)
    assert independence(n00, n01, n10, n11) == pytest.approx(2 * (chain - 2 * np.log(0.4) - 3 * np.log(0.6)))
    assert independence(n00, n01, n10, n11) == pytest.approx(0.13844, abs=1e-5)
    assert conditional_coverage(n00, n01, n10, n11, 0.5) == pytest.approx(2 * (chain - 5 * np.log(0.5)))
    assert conditional_coverage(n00, n01, n10, n11, 0.5) == pytest.approx(0.33980, abs=1e-5)


def test_conditional_coverage_is_independence_and_coverage_of_all_but_the_first():
    rng = np.random.default_rng(0)
    n00, n01, n10, n11 = rng.integers(0, 20, size=(4, 100))
    parts = independence(n00, n01, n10, n11) + kupiec(n01 + n11, n00 + n01 + n10 + n11, 0.8)
    assert conditional_coverage(n00, n01, n10, n11, 0.8) == pytest.approx(parts)


def test_subsamples_take_every_horizon_th_row_from_each_start():
    inside = np.random.default_rng(1).random(100) < 0.8  # 100 rows of horizon 7: two subsamples of 15, five of 14
    p_values = subsample_p_values(inside, 0.9, overlap=7)
    for start in range(7):
        own = inside[start::7].astype(int)
        pairs = list(zip(own[:-1], own[1:], strict=True))
        counts = [pairs.count((was, came)) for was in (0, 1) for came in (0, 1)]
        assert p_values["coverage"][start] == pytest.approx(chi2.sf(kupiec(own.sum(), len(own), 0.9), 1))
        assert p_values["independence"][start] == pytest.approx(chi2.sf(independence(*counts), 1))
        assert p_values["conditional_coverage"][start] == pytest.approx(chi2.sf(conditional_coverage(*counts, 0.9), 2))


def test_p_values_are_combined_as_twice_their_mean_but_at_most_one():
    assert combined(np.array([0.01, 0.03])) == pytest.approx(0.04)
    assert combined(np.array([0.9, 0.8])) == 1.0


@pytest.mark.parametrize("inside", [np.ones(60, bool), np.zeros(60, bool)], ids=["all_hits", "no_hits"])
def test_statistics_are_defined_without_hits_or_without_misses(inside):
    with np.errstate(all="raise"):
        p_values = subsample_p_values(inside, 0.8, overlap=5)
    share = 0.8 if inside.all() else 0.2
    assert p_values["coverage"] == pytest.approx(np.full(5, chi2.sf(-2 * 12 * np.log(share), 1)))
    assert p_values["independence"].tolist() == [1.0] * 5  # there are no transitions
    assert p_values["conditional_coverage"] == pytest.approx(np.full(5, chi2.sf(-2 * 11 * np.log(share), 2)))


def test_statistics_are_defined_without_transitions():
    with np.errstate(all="raise"):
        p_values = subsample_p_values(np.array([True, False, True]), 0.8, overlap=5)
    assert p_values["independence"].tolist() == p_values["conditional_coverage"].tolist() == [1.0] * 5
    assert p_values["coverage"] == pytest.approx(
        chi2.sf([-2 * np.log(0.8), -2 * np.log(0.2), -2 * np.log(0.8), 0, 0], 1)
    )


# ---------- size and power


@pytest.mark.parametrize("overlap", HISTORY)
@pytest.mark.parametrize("nominal", [0.5, 0.8, 0.9])
def test_a_band_with_nominal_coverage_is_rejected_in_no_more_than_five_percent(overlap, nominal):
    def honest(rng, n, overlap):
        return overlapping_hits(rng, n, overlap, nominal)

    found = rejections(honest, HISTORY[overlap], overlap, nominal=nominal)
    assert max(found.values()) <= LEVEL


def test_independent_outcomes_are_rejected_in_no_more_than_five_percent():
    found = rejections(lambda rng, n, overlap: rng.random(n) < 0.8, HISTORY[20], 20)
    assert max(found.values()) <= LEVEL


def test_the_stated_power_against_a_band_that_covers_sixty_percent():
    def narrow(rng, n, overlap):
        return overlapping_hits(rng, n, overlap, 0.6)

    found = {overlap: rejections(narrow, n, overlap)["coverage"] for overlap, n in HISTORY.items()}
    assert found[5] == pytest.approx(1, abs=1e-9)
    assert found[20] > 0.9
    assert found[60] == pytest.approx(0.3, abs=0.07)  # 3 standard errors of 400 draws
    assert found[120] == pytest.approx(0.05, abs=0.035)


def test_a_band_that_is_too_wide_is_rejected_too():
    def wide(rng, n, overlap):
        return overlapping_hits(rng, n, overlap, 0.9)

    assert rejections(wide, HISTORY[5], 5)["coverage"] > 0.9


def test_clustered_misses_are_rejected_by_independence_although_coverage_is_nominal():
    def clustered(rng, n, overlap):
        # regimes of 40 weeks: four of five cover 95 %, the fifth 20 %; 80 % on average
        state = np.repeat(rng.permutation(np.arange(-(-n // 200)) % 5 == 0), 200)[:n]
        return rng.random(n) < np.where(state, 0.2, 0.95)

    found = rejections(clustered, 2000, 5)
    assert found["independence"] > 0.95
    assert found["conditional_coverage"] > 0.95
    assert found["coverage"] < 0.05


# ---------- the table


def test_there_is_one_row_per_subject_horizon_band_and_test_for_any_order_of_rows():
    rows = pd.concat([outcomes(), outcomes(subject="stacking"), outcomes(horizon=20, code="1m", n=400)])
    table = coverage_backtests(rows)
    assert table.groupby(["subject", "horizon_code"])["test"].value_counts().eq(len(BANDS)).all()
    assert len(table) == 3 * len(BANDS) * len(TESTS)
    assert table.dtypes.astype(str).to_dict() == COLUMNS
    pd.testing.assert_frame_equal(table, coverage_backtests(rows.sample(frac=1, random_state=0)))


def test_a_row_has_the_counts_behind_its_test():
    row = coverage_backtests(outcomes(n=203)).set_index(["band", "test"]).loc[(80, "coverage")]
    assert row[["n_rows", "n_subsamples", "n_samples"]].tolist() == [203, 5, 40]
    assert row["coverage"] == pytest.approx(162 / 203)
    # row i is a miss if i is a multiple of 5: at horizon 5 one subsample has only misses, four have only hits
    p_values = chi2.sf([-2 * 41 * np.log(0.2), *[-2 * 41 * np.log(0.8)] * 2, *[-2 * 40 * np.log(0.8)] * 2], 1)
    assert row["p_value"] == pytest.approx(2 * p_values.mean())
    assert row["share_rejecting"] == 1.0
    assert row["verdict"] == "rejected"


def test_each_band_is_compared_with_its_own_level():
    rng = np.random.default_rng(3)
    hits = {column: rng.random(1750) < band / 100 for band, column in BANDS.items()}
    table = coverage_backtests(outcomes(n=1750, **hits))
    assert (table["verdict"] == "ok").all()
    swapped = {"is_inside_50": hits["is_inside_90"], "is_inside_90": hits["is_inside_50"]}
    table = coverage_backtests(outcomes(n=1750, **{**hits, **swapped})).set_index(["band", "test"])["verdict"]
    assert table.xs("coverage", level="test").to_dict() == {50: "rejected", 80: "ok", 90: "rejected"}


@pytest.mark.parametrize(("hits", "n", "verdict"), [(91, 127, "rejected"), (88, 123, "ok")])
def test_a_p_value_below_five_percent_rejects(hits, n, verdict):
    # 71.7 and 71.5 % of hits in a band of 80 %: 2 * 0.0245 and 2 * 0.0250
    table = coverage_backtests(outcomes(inside=np.arange(n) < hits, horizon=1)).set_index(["band", "test"])
    assert table.loc[(80, "coverage"), "p_value"] == pytest.approx(0.05, abs=0.001)
    assert table.loc[(80, "coverage"), "verdict"] == verdict


@pytest.mark.parametrize(("n", "verdict"), [(50, "rejected"), (49, "too_few"), (3, "too_few")])
def test_few_samples_get_no_verdict(n, verdict):
    table = coverage_backtests(outcomes(inside=np.zeros(n, bool)))
    own = table[table["test"] == "coverage"]
    assert (own["verdict"] == verdict).all()
    assert own[["p_value", "share_rejecting"]].isna().all(axis=None) == (verdict == "too_few")


@pytest.mark.parametrize("horizon", [5, 60])
def test_with_the_least_samples_a_band_that_covers_60_percent_is_found_in_four_of_five_histories(horizon):
    n = int(threshold("min_calibration_samples")) * horizon
    power = rejections(partial(overlapping_hits, coverage=0.6), n, horizon, draws=200)["coverage"]
    assert power == pytest.approx(0.8, abs=0.07)
    assert rejections(partial(overlapping_hits, coverage=0.8), n, horizon, draws=200)["coverage"] < 0.02


def test_without_matured_rows_the_table_is_empty_with_the_contracts_types():
    backtests = coverage_backtests(outcomes().iloc[:0])
    assert backtests.dtypes.astype(str).to_dict() == COLUMNS
    folder = PROJECT / "models/marts/monitoring"
    columns = yaml.safe_load((folder / "coverage_tests.yml").read_text())["models"][0]["columns"]
    sql = (folder / "coverage_tests.sql").read_text().replace("{{ ref('int_ensemble__coverage_tests') }}", "backtests")
    sql = sql.replace("{{ threshold('min_calibration_samples') }}", "60")
    with duckdb.connect() as con:
        con.register("backtests", backtests)
        found = {name: dtype.lower() for name, dtype, *_ in con.sql(f"describe {sql}").fetchall()}
    assert found == {column["name"]: column["data_type"] for column in columns}

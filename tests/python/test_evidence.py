"""The tests against the reference and the average: size, power and point-in-time data."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.ensembles import evidence
from zl_forecast.ensembles.evidence import compared, ensemble_evidence
from zl_forecast.ensembles.tournament import matured_losses


def losses(n: int, seed: int, **means: float) -> pd.DataFrame:
    """Simulate losses around their means, with mostly common noise."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    return pd.DataFrame({name: mean + common + 0.3 * rng.standard_normal(n) for name, mean in means.items()})


def _p_values(by_horizon: dict[int, pd.DataFrame], base_methods: dict[str, str | None] | None = None) -> pd.DataFrame:
    """Evidence at one fold start, after the losses of all horizons have matured; by horizon and method."""
    frames = []
    for horizon, table in by_horizon.items():
        days = pd.bdate_range("2000-01-03", periods=len(table))
        long = table.set_axis(days).rename_axis("as_of_date").melt(
            ignore_index=False, var_name="competitor", value_name="pinball_pct"
        )  # fmt: skip
        frames.append(long.reset_index().assign(horizon_days=horizon, target_date=lambda t: t["as_of_date"]))
    folds = pd.DataFrame({"horizon_days": list(by_horizon)}).assign(
        fold_type="oof", fold_start=pd.Timestamp("2030-01-01"), trained_until=pd.Timestamp("2029-12-24")
    )
    return ensemble_evidence(pd.concat(frames), folds, base_methods or {}).set_index(["horizon_days", "competitor"])


def test_a_better_method_is_found_and_a_worse_one_is_not():
    found = _p_values({1: losses(600, 1, reference_alone=3.3, average=3, good=2.7, bad=3.1)}).loc[1]
    assert found.loc["good", "benchmark_p_value_holm"] < 0.01
    assert found.loc["good", "benchmark_skill"] == pytest.approx(0.1, abs=0.02)
    assert found.loc[["bad", "reference_alone"], "benchmark_p_value_holm"].min() > 0.5
    assert found.loc["bad", "dm_p_value"] < 0.05  # better than the reference, which is no reason to leave the average
    assert found.loc["average", ["benchmark", "benchmark_p_value"]].isna().all()


def test_among_many_equal_methods_and_horizons_one_is_found_better_as_rarely_as_stated():
    names = {"reference_alone": 3.0, "average": 3.0, **dict.fromkeys("abcdef", 3.0)}
    rejected = []
    for seed in range(100):
        found = _p_values({horizon: losses(400, 10 * seed + horizon, **names) for horizon in (1, 2, 3, 4)})
        rejected.append([(found["benchmark_p_value"] < 0.05).any(), (found["benchmark_p_value_holm"] < 0.05).any()])
    unadjusted, adjusted = np.mean(rejected, axis=0)
    assert unadjusted > 0.3
    assert adjusted <= 0.1  # stated: 0.05; 100 worlds have a standard error of 0.02


def test_a_method_that_adjusts_another_is_compared_with_it_and_in_a_family_of_its_own():
    table = losses(600, 1, reference_alone=3.3, average=3, pooled=2.5, bands=2.7)
    found = _p_values({1: table}, {"bands": "pooled"}).loc[1]
    assert found["benchmark"].to_dict() == {
        "average": None, "bands": "pooled", "pooled": "average", "reference_alone": "average"
    }  # fmt: skip
    assert found.loc["bands", "benchmark_skill"] < 0
    assert found.loc["bands", "benchmark_p_value"] == found.loc["bands", "benchmark_p_value_holm"]


def test_half_of_the_level_belongs_to_the_first_challenger():
    equal = {"reference_alone": 3.3, "average": 3, "partial_pooling": 2.9, "a": 2.9, "b": 2.9, "c": 2.9}
    found = _p_values({1: losses(600, 1, **equal)}).loc[1]
    ratio = found["benchmark_p_value_holm"] / found["benchmark_p_value"]
    assert ratio["partial_pooling"] == pytest.approx(2)
    assert ratio[["a", "b", "c"]].max() == pytest.approx(8)  # four tests, at half of the level


def test_methods_are_compared_on_common_rows_without_those_that_failed_often():
    table = losses(100, 3, reference_alone=3, a=3, b=3)
    table.loc[:9, "a"] = np.nan  # it failed in a fold
    table.loc[:39, "b"] = np.nan
    kept = compared(table)
    assert list(kept.columns) == ["reference_alone", "a"]
    assert len(kept) == 90


@pytest.mark.parametrize(("shared", "columns"), [(75, ["reference_alone", "a"]), (74, ["reference_alone"])])
def test_three_quarters_of_the_rows_must_be_shared(shared, columns):
    table = losses(100, 3, reference_alone=3, a=3)
    table.loc[shared:, "a"] = np.nan
    assert list(compared(table).columns) == columns


def test_methods_that_failed_in_different_folds_leave_common_rows_for_the_others():
    table = losses(100, 6, reference_alone=3, sound=3, a=3, b=3, c=3, d=3)
    for number, name in enumerate("abcd"):
        table.loc[25 * number : 25 * number + 24, name] = np.nan
    kept = compared(table)
    assert {"reference_alone", "sound"} < set(kept.columns)
    assert len(kept) >= 75


# ---------- as of each fold

FOLD = ["fold_type", "fold_start", "trained_until"]


def forecasts(gap: float = 0.6) -> pd.DataFrame:
    """Simulate losses of three yearly folds and a live one; 'bad' has a higher loss in every row."""
    days = pd.bdate_range("2017-01-02", "2019-12-31")
    table = losses(len(days), 4, reference_alone=3, average=2.9, good=2.7, bad=3 + gap)
    frames = []
    for name in table:
        frame = pd.DataFrame({"as_of_date": days, "loss": table[name].to_numpy(), "competitor": name})
        frame["fold_start"] = pd.to_datetime(days.year.astype(str) + "-01-01")
        frames.append(frame.assign(fold_type="oof"))
        frames.append(frame.tail(20).assign(fold_type="live", fold_start=pd.Timestamp("2019-12-02")))
    result = pd.concat(frames, ignore_index=True).assign(status="ok", is_matured=True)
    result.loc[result["fold_type"] == "live", "is_matured"] = False
    return result.assign(trained_until=result["fold_start"] - pd.Timedelta(days=7))


def _evidence(table: pd.DataFrame, horizon: int = 5) -> pd.DataFrame:
    """Turn losses into forecasts: quantiles are equal, and the loss is half of their distance from outcome zero."""
    table = table.assign(horizon_days=horizon, **dict.fromkeys(settings.SCORED_COLUMNS, -2 * (table["loss"] + 10)))
    days = table.groupby("as_of_date", as_index=False)["is_matured"].any()
    targets = days.assign(
        horizon_days=horizon,
        target_date=days["as_of_date"] + pd.offsets.BDay(horizon),
        z_return=0.0,
        horizon_volatility=0.01,
    )
    past = matured_losses(table.drop(columns="is_matured"), targets, first_scored=2)
    return ensemble_evidence(past, table[[*FOLD, "horizon_days"]].drop_duplicates(), {})


def test_from_the_second_fold_on_evidence_uses_rows_matured_before_the_fold():
    found = _evidence(forecasts())
    assert set(zip(found["fold_type"], found["fold_start"].dt.strftime("%Y-%m"), strict=True)) == {
        ("oof", "2019-01"),
        ("live", "2019-12"),
    }
    third = found[found["fold_type"] == "oof"].set_index("competitor")
    second_fold = pd.bdate_range("2018-01-01", "2018-12-31")
    assert third.loc["good", "n_compared"] == (second_fold + pd.offsets.BDay(5) < "2018-12-25").sum()
    assert third.loc["good", "benchmark_p_value_holm"] < 0.05 < third.loc["bad", "benchmark_p_value_holm"]
    assert third.loc["good", "dm_p_value"] < 0.05 < third.loc["bad", "dm_p_value"]
    assert np.isnan(third.loc["reference_alone", "dm_p_value"])
    assert not found.duplicated([*FOLD, "horizon_days", "competitor"]).any()


def test_losses_are_the_pinball_losses_of_the_forecasts_in_percent_of_price():
    rows = pd.DataFrame(
        {"competitor": ["a"], "fold_type": "oof", "fold_start": pd.Timestamp("2020-01-01"), "status": "ok",
         "as_of_date": pd.Timestamp("2020-01-02"), "horizon_days": 5, "q10": [0.0], "q50": [2.0], "q90": [20.0]}
    )  # fmt: skip
    known = rows[["as_of_date", "horizon_days"]].assign(target_date=pd.Timestamp("2020-01-09"), is_matured=True)
    found = matured_losses(rows, known.assign(z_return=10.0, horizon_volatility=0.25), first_scored=1)
    assert found["pinball_pct"].tolist() == [50]  # 0.1 * 10 + 0.5 * 8 + 0.1 * 10 = 6, over 3 levels 2, times 25 %
    assert matured_losses(rows, known.assign(z_return=10.0, horizon_volatility=0.25), first_scored=2).empty


def _of_the_history(found: pd.DataFrame) -> pd.DataFrame:
    return found[found["fold_type"] == "oof"].reset_index(drop=True)


def test_live_rows_and_rows_without_outcome_are_not_evidence():
    known = forecasts()
    extra = known[(known["fold_type"] == "oof") & (known["fold_start"] == "2018-01-01")].tail(60)
    early = known["as_of_date"] == "2018-06-01"
    unmatured = known.assign(is_matured=known["is_matured"] & ~early)
    wrong = unmatured.assign(loss=known["loss"].where(~early, 1e6))
    clean = _of_the_history(_evidence(known))
    with_live = _of_the_history(_evidence(pd.concat([known, extra.assign(fold_type="live", loss=99.0)])))
    pd.testing.assert_frame_equal(with_live, clean)
    pd.testing.assert_frame_equal(_of_the_history(_evidence(wrong)), _of_the_history(_evidence(unmatured)))
    assert _of_the_history(_evidence(unmatured))["n_compared"].iloc[0] == clean["n_compared"].iloc[0] - 1


def test_later_outcomes_do_not_change_earlier_evidence():
    known = forecasts()
    late = known["as_of_date"] + pd.offsets.BDay(5) >= pd.Timestamp("2018-12-25")
    perturbed = known.assign(loss=known["loss"].where(~late, 9 * np.random.default_rng(5).random(len(known))))
    first, second = _evidence(known), _evidence(perturbed)
    pd.testing.assert_frame_equal(_of_the_history(first), _of_the_history(second))
    assert not first[first["fold_type"] == "live"].equals(second[second["fold_type"] == "live"])


def test_below_six_independent_samples_there_is_no_evidence():
    six = _of_the_history(_evidence(forecasts(), horizon=36))  # 220 rows of one year
    five = _of_the_history(_evidence(forecasts(), horizon=37))
    tested = ["reference_alone", "good", "bad"]
    assert six.set_index("competitor").loc[tested, "benchmark_p_value_holm"].notna().all()
    assert five["benchmark_p_value_holm"].isna().all()


def test_a_method_that_failed_in_its_last_fold_is_compared_on_its_available_rows():
    table = forecasts()
    is_late = table["as_of_date"].between("2018-11-01", "2018-12-31")
    table.loc[(table["competitor"] == "good") & is_late, "status"] = "failed"
    third = _of_the_history(_evidence(table))
    assert third["n_compared"].unique().tolist() == [len(pd.bdate_range("2018-01-01", "2018-10-31"))]


@pytest.mark.parametrize("empty", [True, False])
def test_without_matured_rows_there_is_no_evidence_and_no_error(empty):
    table = forecasts().query("fold_start == '2017-01-01'")
    found = _evidence(table.head(0) if empty else table)
    assert found.empty
    assert list(found.columns) == list(evidence.COLUMNS)

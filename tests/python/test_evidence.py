"""The model confidence set and the test against the reference: size, power and point-in-time data."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS

from zl_forecast import settings
from zl_forecast.ensembles import evidence
from zl_forecast.ensembles.evidence import compared, confidence_set, ensemble_evidence
from zl_forecast.ensembles.tournament import matured_losses


def losses(n: int, seed: int, **means: float) -> pd.DataFrame:
    """Simulate losses around their means, with mostly common noise."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    return pd.DataFrame({name: mean + common + 0.3 * rng.standard_normal(n) for name, mean in means.items()})


def test_a_clearly_worse_method_is_ruled_out_and_equal_methods_stay():
    p_values = confidence_set(losses(600, 1, reference_alone=3, good=3, bad=3.3), horizon=1)
    assert p_values["bad"] < 0.05
    assert p_values[["reference_alone", "good"]].min() > 0.1
    assert p_values.max() == 1


@pytest.fixture
def few_repetitions(monkeypatch):
    """Use few bootstrap repetitions, enough to compare a p-value with a quarter."""
    monkeypatch.setattr(evidence, "REPETITIONS", 200)


def test_the_best_of_equals_is_ruled_out_no_more_often_than_stated(few_repetitions):
    rejected = []
    for seed in range(60):
        equals = losses(200, seed, reference_alone=3, a=3, b=3)
        rejected.append(confidence_set(equals, horizon=1)["a"] < 1 - evidence.CONFIDENCE)
    assert np.mean(rejected) < 0.3  # stated: at most 0.25


def _overlapping(seed: int) -> pd.DataFrame:
    """Simulate losses of two equal methods whose targets overlap over 20 sessions."""
    rng = np.random.default_rng(seed)
    noise = np.stack([np.convolve(rng.standard_normal(619), np.ones(20), "valid") for _ in range(2)], axis=1)
    return pd.DataFrame(3 + noise, columns=["reference_alone", "a"])


def test_losses_of_overlapping_targets_do_not_rule_equals_out_more_often(few_repetitions):
    rejected = [confidence_set(_overlapping(seed), horizon=20)["a"] < 1 - evidence.CONFIDENCE for seed in range(60)]
    assert np.mean(rejected) < 0.3  # treated as independent, well over a third


@pytest.mark.parametrize("length", [40, 39])
def test_the_bootstrap_draws_folds_of_twice_the_horizon(length):
    table = _overlapping(3)
    direct = MCS(table, 0.1, block_size=length, reps=evidence.REPETITIONS, bootstrap="stationary", seed=settings.SEED)
    direct.compute()
    found = confidence_set(table, horizon=20)["reference_alone"]
    assert (found == direct.pvalues.loc["reference_alone", "Pvalue"]) == (length == 40)


def test_methods_with_the_same_losses_share_their_p_value():
    table = losses(300, 2, reference_alone=3, bad=4).assign(
        twin=lambda t: t["reference_alone"], other=lambda t: t["bad"]
    )
    p_values = confidence_set(table, horizon=1)
    assert p_values["twin"] == p_values["reference_alone"] == 1
    assert p_values["other"] == p_values["bad"] < 0.05
    assert (confidence_set(table[["reference_alone", "twin"]], horizon=1) == 1).all()


def test_methods_that_differ_a_little_in_every_row_are_not_the_same():
    table = losses(300, 2, reference_alone=3).assign(
        better=lambda t: t["reference_alone"] - 1e-6 * np.random.default_rng(2).random(300)
    )
    assert confidence_set(table, horizon=1)["reference_alone"] < 0.05


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
    table = losses(len(days), 4, reference_alone=3, good=2.7, bad=3 + gap)
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
    return ensemble_evidence(past, table[[*FOLD, "horizon_days"]].drop_duplicates())


def test_from_the_second_fold_on_evidence_uses_rows_matured_before_the_fold():
    found = _evidence(forecasts())
    assert set(zip(found["fold_type"], found["fold_start"].dt.strftime("%Y-%m"), strict=True)) == {
        ("oof", "2019-01"),
        ("live", "2019-12"),
    }
    third = found[found["fold_type"] == "oof"].set_index("competitor")
    second_fold = pd.bdate_range("2018-01-01", "2018-12-31")
    assert third.loc["good", "n_compared"] == (second_fold + pd.offsets.BDay(5) < "2018-12-25").sum()
    assert not third.loc["bad", "is_in_confidence_set"]
    assert third.loc["good", "mcs_p_value"] == 1
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


def test_the_set_contains_methods_with_a_p_value_of_at_least_a_quarter(monkeypatch):
    p_values = pd.Series({"reference_alone": 0.11, "good": 0.25, "bad": 0.2499})
    monkeypatch.setattr(evidence, "confidence_set", lambda losses, horizon: p_values)
    found = _evidence(forecasts()).query("fold_type == 'oof'").set_index("competitor")["is_in_confidence_set"]
    assert found.to_dict() == {"reference_alone": False, "good": True, "bad": False}


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


def test_below_ten_independent_samples_no_method_is_ruled_out():
    ten = _of_the_history(_evidence(forecasts(gap=5), horizon=23))  # 233 rows of one year
    nine = _of_the_history(_evidence(forecasts(gap=5), horizon=24))
    assert ten["mcs_p_value"].notna().all()
    assert not ten["is_in_confidence_set"].all()
    assert nine["mcs_p_value"].isna().all()
    assert nine["is_in_confidence_set"].all()


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

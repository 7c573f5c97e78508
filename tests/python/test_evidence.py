"""The model confidence set and the test against the reference: what they rule out, what they cannot, and what they may look at."""

import numpy as np
import pandas as pd
import pytest
from arch.bootstrap import MCS

from zl_forecast import settings
from zl_forecast.ensembles import evidence
from zl_forecast.ensembles.evidence import BLOCK, compared, confidence_set, ensemble_evidence


def _evidence(table: pd.DataFrame) -> pd.DataFrame:
    return ensemble_evidence(table, table[[*BLOCK, "horizon_days"]])


def losses(n: int, seed: int, **means: float) -> pd.DataFrame:
    """Losses around their means, with most of their noise in common."""
    rng = np.random.default_rng(seed)
    common = rng.standard_normal(n)
    return pd.DataFrame({name: mean + common + 0.3 * rng.standard_normal(n) for name, mean in means.items()})


def test_a_clearly_worse_method_is_ruled_out_and_equal_ones_stay():
    p_values = confidence_set(losses(600, 1, reference_alone=3, good=3, bad=3.3), horizon=1)
    assert p_values["bad"] < 0.05
    assert p_values[["reference_alone", "good"]].min() > 0.1
    assert p_values.max() == 1


@pytest.fixture
def few_repetitions(monkeypatch):
    """Enough of them to compare a p-value with a quarter, many times."""
    monkeypatch.setattr(evidence, "REPETITIONS", 200)


def test_the_best_of_equals_is_ruled_out_no_more_often_than_stated(few_repetitions):
    rejected = []
    for seed in range(60):
        equals = losses(200, seed, reference_alone=3, a=3, b=3)
        rejected.append(confidence_set(equals, horizon=1)["a"] < 1 - evidence.CONFIDENCE)
    assert np.mean(rejected) < 0.3  # stated: at most 0.25


def _overlapping(seed: int) -> pd.DataFrame:
    """Losses of two equals whose targets overlap over 20 sessions."""
    rng = np.random.default_rng(seed)
    noise = np.stack([np.convolve(rng.standard_normal(619), np.ones(20), "valid") for _ in range(2)], axis=1)
    return pd.DataFrame(3 + noise, columns=["reference_alone", "a"])


def test_losses_of_overlapping_targets_do_not_rule_equals_out_more_often(few_repetitions):
    rejected = [confidence_set(_overlapping(seed), horizon=20)["a"] < 1 - evidence.CONFIDENCE for seed in range(60)]
    assert np.mean(rejected) < 0.3  # taken for independent, they would be in well over a third


@pytest.mark.parametrize("length", [40, 39])
def test_the_bootstrap_draws_blocks_of_twice_the_horizon(length):
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


def test_rows_are_those_that_all_share_and_a_method_that_failed_often_is_not_compared():
    table = losses(100, 3, reference_alone=3, a=3, b=3)
    table.loc[:9, "a"] = np.nan  # it failed in a block
    table.loc[:39, "b"] = np.nan
    kept = compared(table)
    assert list(kept.columns) == ["reference_alone", "a"]
    assert len(kept) == 90


@pytest.mark.parametrize(("shared", "columns"), [(75, ["reference_alone", "a"]), (74, ["reference_alone"])])
def test_three_quarters_of_the_rows_must_be_shared(shared, columns):
    table = losses(100, 3, reference_alone=3, a=3)
    table.loc[shared:, "a"] = np.nan
    assert list(compared(table).columns) == columns


def test_methods_that_failed_in_different_blocks_do_not_take_all_rows_from_the_others():
    table = losses(100, 6, reference_alone=3, sound=3, a=3, b=3, c=3, d=3)
    for number, name in enumerate("abcd"):
        table.loc[25 * number : 25 * number + 24, name] = np.nan
    kept = compared(table)
    assert {"reference_alone", "sound"} < set(kept.columns)
    assert len(kept) >= 75


# ---------- as of each block


def forecasts(n: int = 400, horizon: int = 5, gap: float = 0.6) -> pd.DataFrame:
    """Three yearly blocks and a live one; 'bad' loses more in every row."""
    days = pd.bdate_range("2017-01-02", "2019-12-31")
    table = losses(len(days), 4, reference_alone=3, good=2.7, bad=3 + gap)
    frames = []
    for name in table:
        frame = pd.DataFrame({"as_of_date": days, "pinball_pct": table[name].to_numpy(), "ensemble_method": name})
        frame["fold_start"] = pd.to_datetime(days.year.astype(str) + "-01-01")
        frame["block_number"] = days.year - 2016
        frame["target_date"] = frame["as_of_date"] + pd.offsets.BDay(horizon)
        frames.append(frame.assign(kind="oof", is_matured=True))
        live = frame.tail(20).assign(
            kind="live", fold_start=pd.Timestamp("2019-12-02"), block_number=1, is_matured=False
        )
        frames.append(live.assign(pinball_pct=np.nan))
    result = pd.concat(frames, ignore_index=True).assign(status="ok", horizon_days=horizon)
    return result.assign(trained_until=result["fold_start"] - pd.Timedelta(days=7))


def test_a_block_is_judged_by_what_had_matured_before_it_from_the_second_block_on():
    found = _evidence(forecasts())
    assert set(zip(found["kind"], found["fold_start"].dt.strftime("%Y-%m"), strict=True)) == {
        ("oof", "2019-01"),
        ("live", "2019-12"),
    }
    third = found[found["kind"] == "oof"].set_index("ensemble_method")
    until = pd.Timestamp("2018-12-25")
    second_block = forecasts().query("ensemble_method == 'good' and fold_start == '2018-01-01'")
    assert third.loc["good", "n_compared"] == (second_block["target_date"] < until).sum()
    assert not third.loc["bad", "is_in_confidence_set"]
    assert third.loc["good", "mcs_p_value"] == 1
    assert third.loc["good", "dm_p_value"] < 0.05 < third.loc["bad", "dm_p_value"]
    assert np.isnan(third.loc["reference_alone", "dm_p_value"])
    assert not found.duplicated([*BLOCK, "horizon_days", "ensemble_method"]).any()


def test_the_set_holds_those_whose_p_value_is_a_quarter_or_more(monkeypatch):
    p_values = pd.Series({"reference_alone": 0.11, "good": 0.25, "bad": 0.2499})
    monkeypatch.setattr(evidence, "confidence_set", lambda losses, horizon: p_values)
    found = _evidence(forecasts()).query("kind == 'oof'").set_index("ensemble_method")["is_in_confidence_set"]
    assert found.to_dict() == {"reference_alone": False, "good": True, "bad": False}


def test_live_rows_and_such_without_an_outcome_say_nothing():
    known = forecasts()
    extra = known[(known["kind"] == "oof") & (known["fold_start"] == "2018-01-01")].tail(60)
    live = extra.assign(kind="live", pinball_pct=99.0)
    early = pd.Timestamp("2018-06-01")
    unmatured = known.copy()
    unmatured.loc[(unmatured["as_of_date"] == early) & (unmatured["kind"] == "oof"), "is_matured"] = False
    wrong = unmatured.copy()
    wrong.loc[(wrong["as_of_date"] == early) & (wrong["kind"] == "oof"), "pinball_pct"] = 1e6
    block = lambda table: table[table["kind"] == "oof"].reset_index(drop=True)  # noqa: E731
    clean = block(_evidence(known))
    with_live = block(_evidence(pd.concat([known, live])))
    pd.testing.assert_frame_equal(with_live, clean)
    pd.testing.assert_frame_equal(block(_evidence(wrong)), block(_evidence(unmatured)))
    assert block(_evidence(unmatured))["n_compared"].iloc[0] == clean["n_compared"].iloc[0] - 1


def test_what_came_later_changes_nothing():
    known = forecasts()
    shaken = known.copy()
    late = shaken["target_date"] >= pd.Timestamp("2018-12-25")
    rng = np.random.default_rng(5)
    shaken.loc[late, "pinball_pct"] = 9 * rng.random(late.sum())
    first, second = (_evidence(table) for table in (known, shaken))
    block = lambda table: table[table["kind"] == "oof"].reset_index(drop=True)  # noqa: E731
    pd.testing.assert_frame_equal(block(first), block(second))
    assert not first[first["kind"] == "live"].equals(second[second["kind"] == "live"])


def test_below_ten_separate_samples_nothing_is_ruled_out():
    ten = _evidence(forecasts(horizon=23, gap=5)).query("kind == 'oof'")  # 233 rows of one year
    nine = _evidence(forecasts(horizon=24, gap=5)).query("kind == 'oof'")
    assert ten["mcs_p_value"].notna().all()
    assert not ten["is_in_confidence_set"].all()
    assert nine["mcs_p_value"].isna().all()
    assert nine["is_in_confidence_set"].all()


def test_a_method_that_failed_in_its_last_block_is_compared_on_the_rows_it_has():
    table = forecasts()
    table.loc[
        (table["ensemble_method"] == "good")
        & (table["as_of_date"] >= "2018-11-01")
        & (table["as_of_date"] < "2019-01-01"),
        "status",
    ] = "failed"
    third = _evidence(table).query("kind == 'oof'").set_index("ensemble_method")
    assert third["n_compared"].unique().tolist() == [len(pd.bdate_range("2018-01-01", "2018-10-31"))]


@pytest.mark.parametrize("empty", [True, False])
def test_without_a_past_there_is_no_evidence_and_no_error(empty):
    table = forecasts().query("fold_start == '2017-01-01'")
    found = _evidence(table.head(0) if empty else table)
    assert found.empty
    assert list(found.columns) == list(evidence.COLUMNS)

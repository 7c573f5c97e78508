"""Verdicts on inputs and families: which are tested, on which rows, and the adjustment for multiple tests."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano, pinball
from zl_forecast.verdicts import FAMILY_COLUMNS, family_verdicts, verdicts

N = 600
DAYS = pd.bdate_range("2020-01-01", periods=2 * N)


def losses(family: str, loss, bucket: str = "crush", horizon: int = 5, start: int = 0) -> pd.DataFrame:
    days = DAYS[start : start + len(loss)]
    return pd.DataFrame(
        {"bucket": bucket, "family": family, "as_of_date": days, "horizon_days": horizon, "pinball_pct": loss}
    )


def reference_loss(seed: int = 0, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).gamma(4, size=n)


def test_a_family_with_skill_has_verdict_skill_and_one_without_has_no_skill():
    rng, reference = np.random.default_rng(1), reference_loss()
    table = family_verdicts(
        pd.concat(
            [
                losses("reference", reference),
                losses("good", reference - 0.5 + 0.3 * rng.standard_normal(N)),
                losses("idle", reference + 0.3 * rng.standard_normal(N)),
            ]
        )
    ).set_index("family")
    assert table["verdict"].to_dict() == {"good": "skill", "idle": "no_skill"}
    assert table.loc["good", "pinball_skill"] == pytest.approx(0.5 / reference.mean(), rel=0.1)
    assert table["n_rows"].eq(N).all()


def test_p_values_are_adjusted_by_holm_within_bucket_and_horizon_worked_by_hand():
    # Holm of ordered p1 <= p2 <= p3: 3 p1, then max(that, 2 p2), then max(that, p3); a bucket with one family is not adjusted
    rng, reference = np.random.default_rng(2), reference_loss()
    skills = {"a": 0.06, "b": 0.04, "c": -0.02}
    noisy = {name: reference - skill + 0.5 * rng.standard_normal(N) for name, skill in skills.items()}
    table = family_verdicts(
        pd.concat(
            [losses("reference", reference), losses("reference", reference, bucket="fed")]
            + [losses(name, loss) for name, loss in noisy.items()]
            + [losses("a", noisy["a"], bucket="fed")]
        )
    )
    crush = table[table["bucket"] == "crush"].sort_values("p_value")
    first, second, third = crush["p_value"]
    by_hand = np.maximum.accumulate([3 * first, 2 * second, third])
    assert crush["p_value_holm"].to_numpy() == pytest.approx(np.minimum(by_hand, 1))
    assert first == diebold_mariano(noisy[crush["family"].iloc[0]], reference, 5).p_value
    fed = table[table["bucket"] == "fed"].iloc[0]
    assert fed["p_value_holm"] == fed["p_value"]


def test_the_adjustment_agrees_with_statsmodels():
    rng, reference = np.random.default_rng(9), reference_loss()
    frames = [losses("reference", reference)]
    frames += [losses(f"f{i:02}", reference - 0.02 * i + rng.standard_normal(N)) for i in range(12)]
    table = family_verdicts(pd.concat(frames))
    assert table["p_value_holm"].to_numpy() == pytest.approx(multipletests(table["p_value"], method="holm")[1])
    assert table["p_value_holm"].between(0, 1, inclusive="left").any()


def test_the_verdict_follows_the_adjusted_p_value_not_the_raw_one():
    rng, reference = np.random.default_rng(3), reference_loss()
    frames = [losses("reference", reference)]
    frames += [losses(f"idle_{i:02}", reference + rng.standard_normal(N)) for i in range(40)]
    table = family_verdicts(pd.concat(frames))
    assert (table["p_value"] < settings.VERDICT_LEVEL).any()  # the best of forty, by chance
    assert (table["verdict"] == "no_skill").all()


def test_a_dozen_families_without_skill_rarely_have_a_verdict_skill():
    found = []
    for seed in range(150):
        rng, reference = np.random.default_rng(seed), reference_loss(seed, n=200)
        frames = [losses("reference", reference)]
        frames += [losses(f"idle_{i:02}", reference + rng.standard_normal(200)) for i in range(12)]
        table = family_verdicts(pd.concat(frames))
        found.append(((table["p_value"] < settings.VERDICT_LEVEL).any(), (table["verdict"] == "skill").any()))
    raw, adjusted = np.mean(found, axis=0)
    assert adjusted <= 0.10  # 0.05 + 3 standard errors of 150 draws
    assert raw > 0.3  # so p-values are adjusted


def test_families_are_tested_on_the_rows_they_share_with_the_reference():
    reference = reference_loss()
    late = reference[100:] - 0.5 + 0.1 * np.random.default_rng(4).standard_normal(N - 100)
    table = family_verdicts(
        pd.concat([losses("reference", reference[:500]), losses("late", late, start=100)])  # rows 100 to 499
    )
    assert table["n_rows"].tolist() == [400]
    assert table["p_value"].iloc[0] == diebold_mariano(late[:400], reference[100:500], 5).p_value


def test_the_order_of_rows_does_not_matter():
    rng, reference = np.random.default_rng(5), reference_loss()
    rows = pd.concat([losses("reference", reference), losses("a", reference + rng.standard_normal(N))])
    pd.testing.assert_frame_equal(family_verdicts(rows), family_verdicts(rows.sample(frac=1, random_state=6)))


def test_untestable_forecasts_have_no_skill_and_do_not_count_in_the_adjustment():
    reference = reference_loss()
    noisy = reference - 0.05 + 0.3 * np.random.default_rng(7).standard_normal(N)
    table = family_verdicts(
        pd.concat([losses("reference", reference), losses("noisy", noisy), losses("copy", reference)])
    ).set_index("family")
    assert np.isnan(table.loc["copy", ["p_value", "p_value_holm"]].astype(float)).all()
    assert table.loc["copy", "verdict"] == "no_skill"
    assert table.loc["noisy", "p_value_holm"] == table.loc["noisy", "p_value"]


def test_without_rows_the_table_is_empty_with_all_columns():
    table = family_verdicts(losses("reference", reference_loss()))
    assert table.empty
    assert table.dtypes.astype(str).to_dict() == FAMILY_COLUMNS


def forecasts_of(outcome: np.ndarray, horizon: int = 5, **quantiles: np.ndarray) -> pd.DataFrame:
    """Build int_ensemble__inputs from quantiles (n, 3) by input; one unit of z_return is one percent."""
    frames = []
    for name, own in quantiles.items():
        frame = pd.DataFrame(own, columns=["q10", "q50", "q90"]).assign(input=name, pinball_pct=pinball(outcome, own))
        frames.append(frame.assign(as_of_date=DAYS[: len(own)], z_return=outcome))
    table = pd.concat(frames, ignore_index=True).assign(horizon_days=horizon, horizon_volatility=0.01)
    return table.assign(
        fold_type="oof",
        is_matured=True,
        family="carry",
        is_inside_80=table["z_return"].between(table["q10"], table["q90"]),
    )


def published_of(inputs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Build int_ensemble__published from an input and the reference, at a price of 50."""
    own, reference = (inputs[inputs["input"] == which].reset_index(drop=True) for which in (name, "reference"))
    price = lambda column: 50 * np.exp(column / 100)  # noqa: E731
    prices = {f"p{q[1:]}": price(own[q]) for q in ("q10", "q50", "q90")}
    prices |= {f"reference_p{q[1:]}": price(reference[q]) for q in ("q10", "q50", "q90")}
    table = own[["as_of_date", "horizon_days", "fold_type", "is_matured", "is_inside_80", "pinball_pct"]]
    return table.assign(
        **prices, last_price=50.0, realised_price=price(own["z_return"]), reference_pinball_pct=reference["pinball_pct"]
    )


def market(seed: int = 8) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Simulate outcomes with a signal, and inputs that know the signal, the width, both or nothing."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(N)
    outcome = signal + rng.standard_normal(N)
    edges = np.array([-1.28, 0, 1.28])
    nothing = np.tile(3 * edges, (N, 1))
    return outcome, {
        "reference": nothing,
        "direction": nothing + signal[:, None],
        "width": np.tile(np.sqrt(2) * edges, (N, 1)),
        "both": edges + signal[:, None],
        "wrong_way": edges - signal[:, None],
    }


def test_direction_and_width_have_verdicts_of_their_own():
    outcome, quantiles = market()
    table = verdicts(forecasts_of(outcome, **quantiles), published_of(forecasts_of(outcome, **quantiles), "both"))
    found = table.set_index("subject")[["verdict", "direction_verdict", "width_verdict"]]
    assert found.loc["direction"].tolist() == ["skill", "skill", "no_skill"]
    assert found.loc["width"].tolist() == ["skill", "no_skill", "skill"]
    assert found.loc["both"].tolist() == found.loc["published"].tolist() == ["skill", "skill", "skill"]
    assert found.loc["wrong_way", "direction_verdict"] == "no_skill"
    skills = table.set_index("subject")
    assert skills.loc["direction", "width_skill"] == pytest.approx(0)
    assert skills.loc["width", "direction_skill"] == pytest.approx(0)
    for part in ("pinball_skill", "direction_skill", "width_skill"):  # the same forecast in other units
        assert skills.loc["published", part] == pytest.approx(skills.loc["both", part])


def test_the_parts_of_a_forecast_worked_by_hand():
    # Reference -10, 0, 10; forecast 0, 5, 20; outcome 5. Direction has the quantiles -5, 5, 15: loss 0.1 * 10 + 0 + 0.1 * 10
    # over 3. Width has -5, 0, 15: 0.1 * 10 + 0.5 * 5 + 0.1 * 10. The reference: 0.1 * 15 + 0.5 * 5 + 0.1 * 5.
    quantiles = {"reference": np.tile([-10.0, 0, 10], (9, 1)), "crush": np.tile([0.0, 5, 20], (9, 1))}
    inputs = forecasts_of(np.full(9, 5.0), **quantiles)
    found = verdicts(inputs, published_of(inputs, "crush")).set_index("subject")
    for subject in ("crush", "published"):
        assert found.loc[subject, "direction_skill"] == pytest.approx(1 - 2 / 4.5)
        assert found.loc[subject, "width_skill"] == pytest.approx(1 - 4.5 / 4.5)


def test_inputs_and_the_published_forecast_are_tested_on_matured_rows_of_the_history_only():
    outcome, quantiles = market()
    inputs = forecasts_of(outcome, reference=quantiles["reference"], core=quantiles["both"])
    live = inputs.assign(fold_type="live", pinball_pct=99.0)
    published = published_of(inputs, "core").assign(is_matured=[*[True] * (N - 100), *[False] * 100])
    table = verdicts(pd.concat([inputs, live]), published).set_index("subject")
    assert table["n_rows"].to_dict() == {"core": N, "published": N - 100}
    assert table["verdict"].eq("skill").all()
    assert table.loc["core", "coverage_80"] == inputs.loc[inputs["input"] == "core", "is_inside_80"].mean()


def test_a_bucket_has_skill_only_beyond_the_control():
    outcome, quantiles = market()
    signal = quantiles["direction"][:, [1]]
    inputs = forecasts_of(
        outcome,
        reference=quantiles["reference"],
        control=quantiles["width"],  # ZL's own history tells the width
        crush=1.2 * quantiles["width"],  # crush knows less of it than that
        energy=quantiles["width"] + signal,
        core=quantiles["width"],
    )
    inputs.loc[inputs["input"].isin(["control", "crush", "energy"]), "family"] = "consensus"
    found = verdicts(inputs, published_of(inputs, "energy")).set_index("subject")
    assert found["verdict"].to_dict() == {
        "control": "skill",  # is tested against the reference alone, as inputs that are no buckets are
        "core": "skill",
        "crush": "no_skill",
        "energy": "skill",
        "published": "skill",
    }
    assert found.loc["crush", "p_value"] < 0.05 < found.loc["crush", "control_p_value"]
    loss = inputs.groupby("input")["pinball_pct"].mean()
    assert found.loc["energy", "control_skill"] == pytest.approx(1 - loss["energy"] / loss["control"])
    assert found.loc["published", "control_skill"] == pytest.approx(found.loc["energy", "control_skill"])


def test_the_control_is_compared_on_its_own_rows_and_without_it_a_bucket_has_no_skill():
    outcome, quantiles = market()
    inputs = forecasts_of(
        outcome, reference=quantiles["reference"], control=quantiles["width"], energy=quantiles["both"]
    )
    inputs["family"] = "consensus"
    published = published_of(inputs, "energy")
    without = verdicts(inputs[inputs["input"] != "control"], published).set_index("subject")
    assert without["verdict"].to_dict() == {"energy": "no_skill", "published": "skill"}
    assert without[["control_skill", "control_p_value"]].isna().all(axis=None)
    late = inputs[(inputs["input"] != "control") | (inputs["as_of_date"] >= DAYS[200])]
    found = verdicts(late, published).set_index("subject")
    own = inputs[inputs["as_of_date"] >= DAYS[200]].groupby("input")["pinball_pct"].mean()
    assert found.loc["energy", "control_skill"] == pytest.approx(1 - own["energy"] / own["control"])
    assert found.loc["energy", "n_rows"] == N

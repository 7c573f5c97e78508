"""Verdicts: whether pinball loss is significantly below the reference's, per bucket, family and published forecast."""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano, holm, pinball
from zl_forecast.store import stored
from zl_forecast.tournament.contest import KEY

PUBLISHED = "published"
REFERENCE = "reference"
CONTROL = "control"  # the bucket whose mart is ZL's own history alone
SCORED = settings.SCORED_COLUMNS
PARTS = ("direction", "width")
FAMILY_COLUMNS = {
    "bucket": "object",
    "family": "object",
    "horizon_days": "int32",
    "n_rows": "int64",
    "pinball_skill": "float64",
    "p_value": "float64",
    "p_value_holm": "float64",
    "verdict": "object",
}


@stored
def verdicts(inputs: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Test every input and the published forecast against the reference, each on its own out-of-fold rows.

    The members of an input and the method of the published forecast were chosen before each fold began, so the tested
    series are the forecasts that users would have seen. Two parts are tested as well: direction, the median with the
    reference's distances of the quantiles from it, and width, the distances around the reference's median.

    Every mart has ZL's own history beside the bucket's own features. So a bucket has 'skill' only if its loss is below the
    reference's and below the control's, the consensus on that history alone, each at the full level. Requiring both is a
    test at that level too (intersection-union test: Berger 1982, Technometrics 24(4), 295-300). A bucket without the
    control's forecasts has 'no_skill'.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs.
    published : DataFrame
        int_ensemble__published.

    Returns
    -------
    DataFrame
        One row per subject (input or 'published') and horizon_days: n_rows, pinball_skill (1 - loss /
        reference loss), coverage_80 (share of outcomes inside the 80 % band), p_value, statistic,
        degrees_of_freedom, verdict, control_skill and control_p_value (the same against the control, on its rows; NaN
        without any), and skill, p_value and verdict of both parts. See `scoring.diebold_mariano`; the p-values
        are not adjusted for the number of parts.
    """
    own = inputs[(inputs["fold_type"] == "oof") & inputs["is_matured"]]
    published = published[(published["fold_type"] == "oof") & published["is_matured"]]
    buckets = set(own.loc[own["family"] == "consensus", "input"]) - {CONTROL}
    control = own.loc[own["input"] == CONTROL, [*KEY, "pinball_pct"]]
    tested = pd.concat([_percent_of_inputs(own), _percent_of_published(published)])
    tested = tested.merge(control, on=KEY, how="left", suffixes=("", "_control"))
    rows = []
    for (subject, horizon), part in tested.groupby(["subject", "horizon_days"]):
        test, facts = _test(part, horizon)
        parts = {}
        for name in PARTS:
            own_test, own_facts = _test(part, horizon, f"{name}_loss")
            parts[f"{name}_skill"] = own_facts["pinball_skill"]
            parts[f"{name}_p_value"] = own_test.p_value
            parts[f"{name}_verdict"] = own_test.verdict
        beyond, beyond_facts = _test(part, horizon, benchmark="control")
        has_skill = test.verdict == "skill" and (subject not in buckets or beyond.verdict == "skill")
        rows.append(
            {
                "subject": subject,
                "horizon_days": horizon,
                **facts,
                "coverage_80": part["is_inside_80"].astype(float).mean(),
                "p_value": test.p_value,
                "statistic": test.statistic,
                "degrees_of_freedom": test.degrees_of_freedom,
                "verdict": "skill" if has_skill else "no_skill",
                "control_skill": beyond_facts["pinball_skill"],
                "control_p_value": beyond.p_value,
                **parts,
            }
        )
    return pd.DataFrame(rows)


def _percent_of_inputs(rows: pd.DataFrame) -> pd.DataFrame:
    """Score each input but the reference, and its parts, in percent of price."""
    both = _with_reference(rows, by="input", on=KEY, columns=["pinball_pct", *SCORED])
    unit = 100 * both["horizon_volatility"].to_numpy()
    return _with_part_losses(
        both.assign(subject=both["input"]),
        unit * both["z_return"].to_numpy(),
        unit[:, None] * both[list(SCORED)].to_numpy(),
        unit[:, None] * both[[f"{name}_reference" for name in SCORED]].to_numpy(),
    )


def _percent_of_published(rows: pd.DataFrame) -> pd.DataFrame:
    """Score the published forecast and its parts, in percent of price (log return times 100)."""

    def percent(columns: list[str]) -> np.ndarray:
        return 100 * np.log(rows[columns].to_numpy(float) / rows[["last_price"]].to_numpy(float))

    prices = ["p10", "p50", "p90"]
    return _with_part_losses(
        rows.rename(columns={"reference_pinball_pct": "pinball_pct_reference"}).assign(subject=PUBLISHED),
        percent(["realised_price"])[:, 0],
        percent(prices),
        percent([f"reference_{name}" for name in prices]),
    )


def _with_part_losses(
    rows: pd.DataFrame, outcome: np.ndarray, quantiles: np.ndarray, reference: np.ndarray
) -> pd.DataFrame:
    """Add the losses of the median on the reference's distances, and of the own distances on the reference's median."""
    median, reference_median = quantiles[:, [1]], reference[:, [1]]
    direction = pinball(outcome, median + reference - reference_median)
    width = pinball(outcome, reference_median + quantiles - median)
    columns = ["subject", *KEY, "pinball_pct", "pinball_pct_reference", "is_inside_80", "direction_loss", "width_loss"]
    return rows.assign(direction_loss=direction, width_loss=width)[columns]


@stored
def family_verdicts(forecasts: pd.DataFrame) -> pd.DataFrame:
    """Test every family of every bucket against the bucket's reference, on the rows that both forecast.

    About a dozen families are tested on the same rows. Without skill, the chance that at least one of twelve falls
    below a level of 5 % is up to 1 - 0.95 ** 12 = 46 %. The p-values of each bucket and horizon are therefore adjusted
    by Holm's method. It keeps the chance of one or more false 'skill' verdicts at the level under any dependence (the
    families are correlated) and is at least as powerful as Bonferroni's. There is no adjustment across buckets and
    horizons, because each of them is a separate question.
    Source: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.

    Parameters
    ----------
    forecasts : DataFrame
        Matured out-of-fold rows of int_tournament__forecasts with quantiles: bucket, family, as_of_date,
        horizon_days, pinball_pct (percent of price).

    Returns
    -------
    DataFrame
        Columns `FAMILY_COLUMNS`, one row per bucket, family (without the reference) and horizon_days. If a family
        cannot be tested, both p-values are NaN, its verdict is 'no_skill', and it does not count in the adjustment.
    """
    own = _with_reference(forecasts, by="family", on=["bucket", *KEY], columns=["pinball_pct"])
    rows = []
    for (bucket, family, horizon), part in own.groupby(["bucket", "family", "horizon_days"]):
        test, facts = _test(part, horizon)
        rows.append({"bucket": bucket, "family": family, "horizon_days": horizon, **facts, "p_value": test.p_value})
    table = pd.DataFrame(rows, columns=["bucket", "family", "horizon_days", "n_rows", "pinball_skill", "p_value"])
    table["p_value_holm"] = table.groupby(["bucket", "horizon_days"])["p_value"].transform(holm)
    table["verdict"] = (table["p_value_holm"] < settings.VERDICT_LEVEL).map({True: "skill", False: "no_skill"})
    return table[list(FAMILY_COLUMNS)].astype(FAMILY_COLUMNS)


def _with_reference(rows: pd.DataFrame, by: str, on: list[str], columns: list[str]) -> pd.DataFrame:
    """Return the rows of all but the reference, with the reference's columns of the same row as <column>_reference."""
    is_reference = rows[by] == REFERENCE
    return rows[~is_reference].merge(rows.loc[is_reference, [*on, *columns]], on=on, suffixes=("", "_reference"))


def _test(part: pd.DataFrame, horizon: int, loss: str = "pinball_pct", benchmark: str = REFERENCE):
    """Test the rows of one subject and horizon; return the test, and n_rows with pinball_skill, over the benchmark."""
    part = part.dropna(subset=f"pinball_pct_{benchmark}").sort_values("as_of_date")
    benchmark_loss = part[f"pinball_pct_{benchmark}"]
    facts = {"n_rows": len(part), "pinball_skill": 1 - part[loss].mean() / benchmark_loss.mean()}
    return diebold_mariano(part[loss], benchmark_loss, overlap=horizon), facts

"""Verdicts: whether pinball loss is significantly below the reference's, per bucket, family and published forecast."""

import pandas as pd

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano, holm
from zl_forecast.store import stored
from zl_forecast.tournament.contest import KEY

PUBLISHED = "published"
REFERENCE = "reference"
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

    The family of an input and the method of the published forecast were chosen before each fold began, so the tested
    series are the forecasts that users would have seen.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs.
    published : DataFrame
        int_ensemble__published.

    Returns
    -------
    DataFrame
        One row per subject (bucket, 'core', 'published') and horizon_days: n_rows, pinball_skill (1 - loss /
        reference loss), coverage_80 (share of outcomes inside the 80 % band), p_value, statistic,
        degrees_of_freedom, verdict. See `scoring.diebold_mariano`.
    """
    own = inputs[(inputs["fold_type"] == "oof") & inputs["is_matured"]]
    by_input = _with_reference_loss(own, by="input", on=KEY)
    published = published[(published["fold_type"] == "oof") & published["is_matured"]]
    published = published.rename(columns={"reference_pinball_pct": "pinball_pct_reference"}).assign(input=PUBLISHED)
    columns = ["input", *KEY, "pinball_pct", "pinball_pct_reference", "is_inside_80"]
    rows = []
    for (subject, horizon), part in pd.concat([by_input[columns], published[columns]]).groupby(
        ["input", "horizon_days"]
    ):
        test, facts = _test_against_reference(part, horizon)
        rows.append(
            {
                "subject": subject,
                "horizon_days": horizon,
                **facts,
                "coverage_80": part["is_inside_80"].astype(float).mean(),
                "p_value": test.p_value,
                "statistic": test.statistic,
                "degrees_of_freedom": test.degrees_of_freedom,
                "verdict": test.verdict,
            }
        )
    return pd.DataFrame(rows)


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
    own = _with_reference_loss(forecasts, by="family", on=["bucket", *KEY])
    rows = []
    for (bucket, family, horizon), part in own.groupby(["bucket", "family", "horizon_days"]):
        test, facts = _test_against_reference(part, horizon)
        rows.append({"bucket": bucket, "family": family, "horizon_days": horizon, **facts, "p_value": test.p_value})
    table = pd.DataFrame(rows, columns=["bucket", "family", "horizon_days", "n_rows", "pinball_skill", "p_value"])
    table["p_value_holm"] = table.groupby(["bucket", "horizon_days"])["p_value"].transform(holm)
    table["verdict"] = (table["p_value_holm"] < settings.VERDICT_LEVEL).map({True: "skill", False: "no_skill"})
    return table[list(FAMILY_COLUMNS)].astype(FAMILY_COLUMNS)


def _with_reference_loss(rows: pd.DataFrame, by: str, on: list[str]) -> pd.DataFrame:
    """Return the rows of all but the reference, with its loss on the same row as pinball_pct_reference."""
    is_reference = rows[by] == REFERENCE
    return rows[~is_reference].merge(rows.loc[is_reference, [*on, "pinball_pct"]], on=on, suffixes=("", "_reference"))


def _test_against_reference(part: pd.DataFrame, horizon: int):
    """Test the rows of one subject and horizon; return the verdict, and n_rows with pinball_skill."""
    part = part.sort_values("as_of_date")
    loss, reference_loss = part["pinball_pct"], part["pinball_pct_reference"]
    facts = {"n_rows": len(part), "pinball_skill": 1 - loss.mean() / reference_loss.mean()}
    return diebold_mariano(loss, reference_loss, overlap=horizon), facts

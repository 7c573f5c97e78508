"""Verdicts: is the pinball loss below the reference's by more than chance? Per bucket, per family, for the published line."""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano
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
    """Test every input and the published line against the reference, each on its own out-of-fold rows.

    The family of an input and the method of the published line were chosen before each block, so the series tested are
    what a user would have got.

    Parameters
    ----------
    inputs : DataFrame
        int_ensemble__inputs.
    published : DataFrame
        int_ensemble__published.

    Returns
    -------
    DataFrame
        One row a subject (bucket, 'core', 'published') and horizon_days: n_rows, pinball_skill (share below the
        reference), coverage_80, p_value, statistic, degrees_of_freedom, verdict.
    """
    own = inputs[(inputs["kind"] == "oof") & inputs["is_matured"]]
    by_input = _beside_reference(own, by="input", on=KEY)
    line = published[(published["kind"] == "oof") & published["is_matured"]]
    line = line.rename(columns={"reference_pinball_pct": "pinball_pct_reference"}).assign(input=PUBLISHED)
    columns = ["input", *KEY, "pinball_pct", "pinball_pct_reference", "is_inside_80"]
    rows = []
    for (subject, horizon), part in pd.concat([by_input[columns], line[columns]]).groupby(["input", "horizon_days"]):
        test, facts = _tested(part, horizon)
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

    A dozen families meet on the same rows, and the best of a dozen looks good by luck alone: without skill anywhere, the chance
    that one of twelve falls below a level of 5 % is up to 1 - 0.95 ** 12 = 46 %. So the p-values of a bucket and horizon are
    adjusted by Holm's method, which keeps the chance of even one false 'skill' among them at the level, whatever their
    dependence (the families resemble each other), and finds no less than Bonferroni's. Not over buckets and horizons: each of
    those is a question of its own.
    Source: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.

    Parameters
    ----------
    forecasts : DataFrame
        Matured out-of-fold rows of int_tournament__forecasts with quantiles: bucket, family, as_of_date, horizon_days, pinball_pct.

    Returns
    -------
    DataFrame
        Columns `FAMILY_COLUMNS`, one row a bucket, family but the reference, and horizon_days. Where a family cannot be tested both
        p-values are NaN, it is 'no_skill', and it does not count among those adjusted for.
    """
    own = _beside_reference(forecasts, by="family", on=["bucket", *KEY])
    rows = []
    for (bucket, family, horizon), part in own.groupby(["bucket", "family", "horizon_days"]):
        test, facts = _tested(part, horizon)
        rows.append({"bucket": bucket, "family": family, "horizon_days": horizon, **facts, "p_value": test.p_value})
    table = pd.DataFrame(rows, columns=["bucket", "family", "horizon_days", "n_rows", "pinball_skill", "p_value"])
    table["p_value_holm"] = table.groupby(["bucket", "horizon_days"])["p_value"].transform(_holm)
    table["verdict"] = (table["p_value_holm"] < settings.VERDICT_LEVEL).map({True: "skill", False: "no_skill"})
    return table[list(FAMILY_COLUMNS)].astype(FAMILY_COLUMNS)


def _holm(p_values: pd.Series) -> pd.Series:
    """The p-values adjusted for one another: the least of m times m, the next times m - 1 ..., never falling; NaN does not count."""
    ordered = (
        p_values.dropna().sort_values()
    )  # statsmodels' multipletests runs a whole garbage collection at every call
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p_values.index)


def _beside_reference(rows: pd.DataFrame, by: str, on: list[str]) -> pd.DataFrame:
    """All rows but the reference's, with its loss on the same row as pinball_pct_reference."""
    is_reference = rows[by] == REFERENCE
    return rows[~is_reference].merge(rows.loc[is_reference, [*on, "pinball_pct"]], on=on, suffixes=("", "_reference"))


def _tested(part: pd.DataFrame, horizon: int):
    """The test on the rows of one subject and horizon, and what it rests on."""
    part = part.sort_values("as_of_date")
    loss, reference_loss = part["pinball_pct"], part["pinball_pct_reference"]
    facts = {"n_rows": len(part), "pinball_skill": 1 - loss.mean() / reference_loss.mean()}
    return diebold_mariano(loss, reference_loss, overlap=horizon), facts

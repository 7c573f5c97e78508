"""Verdicts: is the pinball loss below the reference's by more than chance? Per bucket, for the core, for the published line."""

import pandas as pd

from zl_forecast.scoring import diebold_mariano
from zl_forecast.tournament.fit import KEY

PUBLISHED = "published"


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
    reference = own.loc[own["input"] == "reference", [*KEY, "pinball_pct"]]
    by_input = own[own["input"] != "reference"].merge(reference, on=KEY, suffixes=("", "_reference"))
    line = published[(published["kind"] == "oof") & published["is_matured"]]
    line = line.rename(columns={"reference_pinball_pct": "pinball_pct_reference"}).assign(input=PUBLISHED)
    columns = ["input", *KEY, "pinball_pct", "pinball_pct_reference", "is_inside_80"]
    rows = []
    for (subject, horizon), part in pd.concat([by_input[columns], line[columns]]).groupby(["input", "horizon_days"]):
        part = part.sort_values("as_of_date")
        test = diebold_mariano(part["pinball_pct"], part["pinball_pct_reference"], overlap=horizon)
        rows.append(
            {
                "subject": subject,
                "horizon_days": horizon,
                "n_rows": len(part),
                "pinball_skill": 1 - part["pinball_pct"].mean() / part["pinball_pct_reference"].mean(),
                "coverage_80": part["is_inside_80"].astype(float).mean(),
                "p_value": test.p_value,
                "statistic": test.statistic,
                "degrees_of_freedom": test.degrees_of_freedom,
                "verdict": test.verdict,
            }
        )
    return pd.DataFrame(rows)

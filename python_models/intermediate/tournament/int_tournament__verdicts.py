"""Verdicts per family of every bucket. The work is in zl_forecast.verdicts."""

from zl_forecast.verdicts import family_verdicts


def model(dbt, session):
    dbt.config(materialized="table")
    tested = dbt.ref("int_tournament__forecasts").filter(
        "bucket <> 'core' and fold_type = 'oof' and is_matured and status = 'ok'"
    )
    return family_verdicts(tested.select("bucket, family, as_of_date, horizon_days, pinball_pct"))

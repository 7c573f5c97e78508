"""Tournament of the crush bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("crush", dbt.ref("mart_crush__daily"), dbt.ref, dbt.config.meta_get("settings"))

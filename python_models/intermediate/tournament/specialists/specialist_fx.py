"""Tournament of the fx bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("fx", dbt.ref("mart_fx__daily"), dbt.ref, dbt.config.meta_get("settings"))

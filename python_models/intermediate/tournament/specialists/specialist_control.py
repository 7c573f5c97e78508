"""Tournament of the control bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("control", dbt.ref("mart_control__daily"), dbt.ref, dbt.config.meta_get("settings"))

"""Tournament of the palm bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("palm", dbt.ref("mart_palm__daily"), dbt.ref, dbt.config.meta_get("settings"))

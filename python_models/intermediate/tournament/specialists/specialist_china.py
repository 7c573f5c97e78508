"""Tournament of the china bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("china", dbt.ref("mart_china__daily"), dbt.ref, dbt.config.meta_get("settings"))

"""Tournament of the biofuel bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("biofuel", dbt.ref("mart_biofuel__daily"), dbt.ref, dbt.config.meta_get("settings"))

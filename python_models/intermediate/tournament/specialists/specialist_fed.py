"""Tournament of the fed bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("fed", dbt.ref("mart_fed__daily"), dbt.ref, dbt.config.meta_get("settings"))

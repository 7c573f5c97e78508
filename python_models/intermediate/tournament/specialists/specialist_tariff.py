"""Tournament of the tariff bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("tariff", dbt.ref("mart_tariff__daily"), dbt.ref, dbt.config.meta_get("settings"))

"""Tournament of the volatility bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("volatility", dbt.ref("mart_volatility__daily"), dbt.ref, dbt.config.meta_get("settings"))

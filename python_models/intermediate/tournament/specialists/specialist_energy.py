"""Tournament of the energy bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import run_bucket


def model(dbt, session):
    return run_bucket("energy", dbt.ref("mart_energy__daily"), dbt.ref, dbt.config.meta_get("settings"))

"""Monte Carlo paths through the newest forecast's distributions. The work is in zl_forecast.risk."""

from zl_forecast.risk import sample_paths


def model(dbt, session):
    dbt.config(materialized="table")
    return sample_paths(dbt.ref("zl_forecast"))

"""Risk of the newest forecast, from its Monte Carlo paths. The work is in zl_forecast.risk."""

from zl_forecast.risk import risk_table


def model(dbt, session):
    dbt.config(materialized="table")
    return risk_table(dbt.ref("int_ensemble__paths").df(), dbt.ref("price_levels").df())

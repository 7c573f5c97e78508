"""Value at risk, expected shortfall and level probabilities of the newest forecast. The work is in zl_forecast.risk."""

from zl_forecast.for_dbt import risk_table


def model(dbt, session):
    dbt.config(materialized="table")
    return risk_table(dbt.ref("zl_forecast").df(), dbt.ref("price_levels").df())

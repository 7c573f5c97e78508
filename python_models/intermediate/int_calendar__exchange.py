"""Past and future sessions of the CBOT grain and oilseed market. The work is in zl_forecast.calendar."""

from zl_forecast.calendar import kept_sessions


def model(dbt, session):
    dbt.config(materialized="table")
    return kept_sessions()

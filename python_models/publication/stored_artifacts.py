"""The index of the artifact folder as a table, after what nobody used for long was removed. The work is in zl_forecast.artifacts."""

from zl_forecast.for_dbt import pruned_entries


def model(dbt, session):
    dbt.config(materialized="table")
    dbt.ref("int_tournament__forecasts")  # all fits of this build are in the folder by now
    dbt.ref("ensemble_zl")
    return pruned_entries()

"""Verdicts per bucket and for the published forecast. The work is in zl_forecast.verdicts."""

from zl_forecast.verdicts import verdicts


def model(dbt, session):
    dbt.config(materialized="table")
    return verdicts(dbt.ref("int_ensemble__inputs"), dbt.ref("int_ensemble__published"))

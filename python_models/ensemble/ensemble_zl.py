"""The ensemble tournament over bucket winners, core and reference. The work is in zl_forecast.ensembles."""

from zl_forecast.ensembles.tournament import run_ensembles


def model(dbt, session):
    dbt.config(materialized="table")
    return run_ensembles(dbt.ref("int_ensemble__inputs"), dbt.ref("int_targets__daily"), dbt.ref("ensemble_methods"))

"""The ensemble tournament over consensus forecasts, core, carry and reference. The work is in zl_forecast.ensembles."""

from zl_forecast.ensembles.tournament import run_ensembles


def model(dbt, session):
    dbt.config(materialized="table")
    scored_from = dbt.ref("thresholds").filter("name = 'first_scored_fold'")
    inputs = dbt.ref("int_ensemble__inputs").filter("input <> 'control'")
    return run_ensembles(inputs, dbt.ref("int_targets__daily"), dbt.ref("ensemble_methods"), scored_from)

"""Model confidence set and Diebold-Mariano tests of the ensemble methods, as of each block. The work is in zl_forecast.ensembles.evidence."""

from zl_forecast.for_dbt import ensemble_evidence


def model(dbt, session):
    dbt.config(materialized="table")
    return ensemble_evidence(dbt.ref("int_ensemble__forecasts").df())

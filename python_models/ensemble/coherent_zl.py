"""The chosen forecasts with horizons that fit together. The work is in zl_forecast.ensembles.coherence."""

from zl_forecast.ensembles.coherence import coherent


def model(dbt, session):
    dbt.config(materialized="table")
    return coherent(dbt.ref("int_ensemble__chosen"))

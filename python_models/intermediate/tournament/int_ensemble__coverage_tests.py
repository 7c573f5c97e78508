"""Kupiec and Christoffersen tests of the bands of every method. The work is in zl_forecast.calibration."""

from zl_forecast.calibration import coverage_backtests


def model(dbt, session):
    dbt.config(materialized="table")
    return coverage_backtests(dbt.ref("int_ensemble__outcomes"))

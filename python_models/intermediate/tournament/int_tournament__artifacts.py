"""The index of the artifact folder as a table, after what nobody used for long was removed. The work is in zl_forecast.store."""

from zl_forecast.store import entries, prune, with_text_columns


def model(dbt, session):
    dbt.config(materialized="table")
    dbt.ref("int_tournament__forecasts")  # all fits of this build are in the folder by now
    dbt.ref("int_ensemble__methods")
    prune()
    return with_text_columns(entries())

"""The index of the artifact store as a table, after pruning. The work is in zl_forecast.store."""

from zl_forecast.store import entries, prune, with_text_columns


def model(dbt, session):
    dbt.config(materialized="table")
    dbt.ref("int_tournament__forecasts")  # run after all fits of this build
    dbt.ref("int_ensemble__methods")
    prune()
    return with_text_columns(entries())

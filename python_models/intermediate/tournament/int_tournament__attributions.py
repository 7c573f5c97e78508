"""Feature attributions of every family's active fits. The work is in zl_forecast.tournament."""

from zl_forecast.tournament.attributions import collect


def model(dbt, session):
    dbt.config(materialized="table")
    live = dbt.ref("int_tournament__forecasts").filter("bucket <> 'core' and fold_type = 'live' and status = 'ok'")
    return collect(live.select("bucket, family, artifact_id").distinct().order("bucket, family").df())

"""Which fits the plan asks for, and which of them the store has. The work is in zl_forecast.tournament.plan."""

from zl_forecast.tournament import Inputs, planned_fits


def model(dbt, session):
    dbt.config(materialized="table")
    live = dbt.ref("int_plan__live").df()  # it rests on all gates, and so on all marts
    inputs = {
        bucket: Inputs(
            bucket,
            mart=session.table(f"features.mart_{bucket}__daily"),
            targets=dbt.ref("int_targets__daily"),
            zl=dbt.ref("int_volatility__zl"),
            buckets=dbt.ref("buckets"),
            families=dbt.ref("families"),
            preset=dbt.config.meta_get("preset"),
        )
        for bucket in live["bucket"]
    }
    return planned_fits(live, inputs)

"""Which fits the plan asks for, and which of them the store has. The work is in zl_forecast.tournament.plan."""

from zl_forecast.for_dbt import planned_fits


def model(dbt, session):
    dbt.config(materialized="table")
    live = dbt.ref("int_plan__live").df()  # it rests on all gates, and so on all marts
    return planned_fits(
        live,
        marts={bucket: session.table(f"features.mart_{bucket}__daily").df() for bucket in live["bucket"]},
        targets=dbt.ref("int_targets__daily").df(),
        zl=dbt.ref("int_volatility__zl").df(),
        buckets=dbt.ref("buckets").df(),
        families=dbt.ref("families").df(),
        preset=dbt.config.meta_get("preset"),
    )

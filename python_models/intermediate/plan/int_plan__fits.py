"""First-level fits of the plan, and which of them the store has. The work is in zl_forecast.tournament.plan."""

from zl_forecast.tournament import Inputs, planned_fits


def model(dbt, session):
    dbt.config(materialized="table")
    refused = (
        dbt.ref("int_gate__results").filter("not is_success and severity = 'critical'").select("bucket").distinct()
    )
    live = dbt.ref("int_plan__live").join(refused, "bucket", how="anti").df()
    read = dbt.ref  # the yml adds the refs of the marts, because dbt finds none in a loop
    inputs = {
        bucket: Inputs(
            bucket,
            mart=read(f"mart_{bucket}__daily"),
            targets=dbt.ref("int_targets__daily"),
            zl=dbt.ref("int_volatility__zl"),
            buckets=dbt.ref("buckets"),
            families=dbt.ref("families"),
            preset=dbt.config.meta_get("preset"),
        )
        for bucket in live["bucket"]
    }
    return planned_fits(live, inputs)

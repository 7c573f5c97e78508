"""Tournament of the crush bucket. The work is in zl_forecast.tournament."""

from zl_forecast.for_dbt import plan_of, run_specialist


def model(dbt, session):
    dbt.config(materialized="table")
    return run_specialist(
        "crush",
        mart=dbt.ref("mart_crush__daily").df(),
        targets=dbt.ref("int_targets__daily").df(),
        zl=dbt.ref("int_volatility__zl").df(),
        buckets=dbt.ref("buckets").df(),
        families=dbt.ref("families").df(),
        preset=dbt.config.meta_get("preset"),
        plan=plan_of("crush", dbt.ref("run_plan").df()),
        executor=dbt.config.meta_get("executor"),
    )

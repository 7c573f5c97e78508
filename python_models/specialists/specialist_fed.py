"""Tournament of the fed bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import Inputs, plan_of, run_specialist


def model(dbt, session):
    dbt.config(materialized="table")
    inputs = Inputs(
        "fed",
        mart=dbt.ref("mart_fed__daily"),
        targets=dbt.ref("int_targets__daily"),
        zl=dbt.ref("int_volatility__zl"),
        buckets=dbt.ref("buckets"),
        families=dbt.ref("families"),
        preset=dbt.config.meta_get("preset"),
    )
    return run_specialist(inputs, plan_of("fed", dbt.ref("run_plan").df()), dbt.config.meta_get("executor"))

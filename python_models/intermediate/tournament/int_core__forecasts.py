"""The core ZL forecaster and the reference, out of fold and live. The work is in zl_forecast.core."""

from zl_forecast.core import run_core


def model(dbt, session):
    dbt.config(materialized="table")
    prices = dbt.ref("int_prices__daily").filter("symbol = 'zl'").select("as_of_date, close")
    plan = dbt.ref("run_plan").select("live_from").distinct()
    return run_core(prices.df(), dbt.ref("int_targets__daily").df(), plan.df(), dbt.config.meta_get("executor"))

"""Great Expectations on ZL itself. A failed critical expectation stops everything downstream.

The work is in zl_forecast.validation.
"""

from zl_forecast.validation import check_zl


def model(dbt, session):
    dbt.config(materialized="table")
    return check_zl(
        prices=dbt.ref("int_prices__daily").filter("symbol = 'zl'").df(),
        targets=dbt.ref("int_targets__daily").df(),
        base=dbt.ref("int_base__daily").df(),
        sessions=dbt.ref("int_calendar__sessions").df(),
        exchange=dbt.ref("int_calendar__exchange").df(),
        max_age_days=dbt.config.meta_get("max_zl_age_days"),
    )

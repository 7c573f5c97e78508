"""Great Expectations on ZL, and on each bucket's mart with the landing check of its symbols.

A failed critical expectation on ZL stops everything downstream; on a bucket it quarantines the bucket. The work is in zl_forecast.validation.
"""

from zl_forecast.validation import check_marts, check_zl


def model(dbt, session):
    dbt.config(materialized="table")
    sessions = dbt.ref("int_calendar__sessions").df()
    zl = check_zl(
        prices=dbt.ref("int_prices__daily").filter("symbol = 'zl'").df(),
        targets=dbt.ref("int_targets__daily").df(),
        base=dbt.ref("int_base__daily").df(),
        sessions=sessions,
        exchange=dbt.ref("int_calendar__exchange").df(),
        max_age_days=dbt.config.meta_get("max_zl_age_days"),
    )
    read = dbt.ref  # the yml adds the refs of the marts: dbt takes none from a loop in a Python model
    marts = {bucket: read(f"mart_{bucket}__daily") for bucket in dbt.config.meta_get("buckets")}
    return check_marts(marts, sessions, dbt.ref("int_landing__quarantines").df(), after=zl)

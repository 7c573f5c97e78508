"""Great Expectations on mart_fx__daily, and its symbols by the landing check. A failed critical expectation quarantines the bucket.

The work is in zl_forecast.validation.
"""

from zl_forecast.validation import check_mart


def model(dbt, session):
    dbt.config(materialized="table")
    dbt.ref("gate_zl")  # a bucket is worth a look only when ZL itself is sound
    return check_mart(
        dbt.ref("mart_fx__daily").df(),
        bucket="fx",
        sessions=dbt.ref("int_calendar__sessions").df(),
        quarantines=dbt.ref("int_landing__quarantines").df(),
    )

"""Great Expectations on each bucket's mart. A failed critical expectation quarantines the bucket.

The work is in zl_forecast.validation.
"""

from zl_forecast.validation import check_marts


def model(dbt, session):
    dbt.config(materialized="table")
    read = dbt.ref  # the yml adds the refs of the marts, because dbt finds none in a loop
    # in its own variable, because dbt's parser overlooks meta_get in the arguments of a call
    marts = {bucket: read(f"mart_{bucket}__daily") for bucket in dbt.config.meta_get("buckets")}
    sessions, quarantines = dbt.ref("int_calendar__sessions").df(), dbt.ref("int_landing__quarantines").df()
    return check_marts(marts, sessions, quarantines, after=dbt.ref("int_gate__zl").df())

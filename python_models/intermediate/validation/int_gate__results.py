"""Great Expectations on each bucket's mart, with the landing check of its symbols. A failed critical expectation quarantines the bucket.

The work is in zl_forecast.validation.
"""

from zl_forecast.validation import check_marts


def model(dbt, session):
    dbt.config(materialized="table")
    read = dbt.ref  # the yml adds the refs of the marts: dbt takes none from a loop in a Python model
    # a variable of its own: within the arguments of a call dbt's parser overlooks meta_get
    marts = {bucket: read(f"mart_{bucket}__daily") for bucket in dbt.config.meta_get("buckets")}
    sessions, quarantines = dbt.ref("int_calendar__sessions").df(), dbt.ref("int_landing__quarantines").df()
    return check_marts(marts, sessions, quarantines, after=dbt.ref("int_gate__zl").df())

"""Tournament of the china bucket. The work is in zl_forecast.tournament."""

from zl_forecast.tournament import enrolled_families, run_specialist
from zl_forecast.validation import is_quarantined


def model(dbt, session):
    dbt.config(materialized="table")
    preset = dbt.config.meta_get("preset")
    families = enrolled_families("china", preset, dbt.ref("buckets").df(), dbt.ref("families").df())
    return run_specialist(
        "china",
        dbt.ref("mart_china__daily").df(),
        dbt.ref("int_targets__daily").df(),
        families,
        quarantined=is_quarantined(dbt.ref("gate_china").df()),
    )

"""What the dbt Python models call, found one at a time.

The models import from here alone, since this module imports nothing large itself and hands out what it has under the lock of
`late_import`: dbt runs models in threads, and two that imported the same large packages at once made builds fail (seen in about one of fifty).
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from zl_forecast.late_import import late_import

HOMES = {
    "check_mart": "zl_forecast.validation",
    "check_zl": "zl_forecast.validation",
    "coherent": "zl_forecast.ensembles.coherence",
    "collect": "zl_forecast.tournament.attributions",
    "coverage_backtests": "zl_forecast.calibration",
    "ensemble_evidence": "zl_forecast.ensembles.evidence",
    "family_verdicts": "zl_forecast.verdicts",
    "kept_sessions": "zl_forecast.calendar",
    "plan_of": "zl_forecast.tournament.specialist",
    "planned_fits": "zl_forecast.tournament.plan",
    "pruned_entries": "zl_forecast.artifacts",
    "publish": "zl_forecast.publish",
    "risk_table": "zl_forecast.risk",
    "run_core": "zl_forecast.core",
    "run_ensembles": "zl_forecast.ensembles.tournament",
    "run_specialist": "zl_forecast.tournament",
    "sample_paths": "zl_forecast.risk",
    "verdicts": "zl_forecast.verdicts",
}


# Seconds each, and the same tables make the same table: on a day without news it is read back.
REMEMBERED = {
    "coherent",
    "coverage_backtests",
    "ensemble_evidence",
    "family_verdicts",
    "run_core",
    "run_ensembles",
    "sample_paths",
    "verdicts",
}
TRIED_AGAIN = {"failed", "timed_out"}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"{__name__} has no {name}: add it to HOMES with the module where it is")
    function = getattr(late_import(HOMES[name]), name)
    return _typed(_remembering(function) if name in REMEMBERED else function)


def _typed(function: Callable) -> Callable:
    """The function with text where a table has a column of objects without a single value: DuckDB takes that for integers."""

    @wraps(function)
    def typed(*arguments, **settings):
        result = function(*arguments, **settings)
        if not hasattr(result, "columns"):  # no table
            return result
        empty = [name for name in result if result[name].dtype == object and result[name].isna().all()]
        return result.astype(dict.fromkeys(empty, "string")) if empty else result

    return typed


def _remembering(function: Callable) -> Callable:
    """The function over DuckDB relations instead of data frames, computed once for what they hold, its code and the library versions.

    A column `module` in a relation names code as well: registries are data.
    """
    artifacts, fingerprint = (late_import(f"zl_forecast.{module}") for module in ("artifacts", "fingerprint"))

    @wraps(function)
    def remembered(*relations):
        registered = {
            module for own in relations if "module" in own.columns for (module,) in own.select("module").fetchall()
        }
        name = fingerprint.combine(
            function.__qualname__,
            fingerprint.of_code(function.__module__, *sorted(registered)),
            [fingerprint.of_relation(own) for own in relations],
            fingerprint.library_versions(),
        )
        known = artifacts.remembered(name)
        if known is None:
            known = function(*(own.df() for own in relations))
            if "status" not in known or not known["status"].isin(TRIED_AGAIN).any():
                artifacts.remember(name, known)
        return known

    return remembered

"""What the dbt Python models call, found one at a time.

The models import from here alone, since this module imports nothing large itself and hands out what it has under the lock of
`late_import`: dbt runs models in threads, and two that imported the same large packages at once made builds fail (seen in about one of fifty).
"""

from typing import Any

from zl_forecast.late_import import late_import

HOMES = {
    "check_mart": "zl_forecast.validation",
    "check_zl": "zl_forecast.validation",
    "coherent": "zl_forecast.ensembles.coherence",
    "collect": "zl_forecast.tournament.attributions",
    "coverage_backtests": "zl_forecast.calibration",
    "ensemble_evidence": "zl_forecast.ensembles.evidence",
    "exchange_sessions": "zl_forecast.calendar",
    "family_verdicts": "zl_forecast.verdicts",
    "is_quarantined": "zl_forecast.validation",
    "publish": "zl_forecast.publish",
    "risk_table": "zl_forecast.risk",
    "run_core": "zl_forecast.core",
    "run_ensembles": "zl_forecast.ensembles.tournament",
    "run_specialist": "zl_forecast.tournament",
    "sample_paths": "zl_forecast.risk",
    "verdicts": "zl_forecast.verdicts",
}


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"{__name__} has no {name}: add it to HOMES with the module where it is")
    return getattr(late_import(HOMES[name]), name)

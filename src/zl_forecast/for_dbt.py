"""What the dbt Python models call, found one at a time.

dbt runs several Python models at once in threads. Two threads that import the same large packages at the same moment can block
each other, which Python answers with a _DeadlockError and dbt with a failed build (seen once in about fifty builds). So the
models import from here alone: this module imports nothing large itself, and what it hands out it imports under a lock.
"""

import threading
from importlib import import_module
from typing import Any

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
_ONE_AT_A_TIME = threading.Lock()


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"{__name__} has no {name}: add it to HOMES with the module where it is")
    with _ONE_AT_A_TIME:
        return getattr(import_module(HOMES[name]), name)

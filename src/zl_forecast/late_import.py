"""Large packages are imported when they are needed, and never by two threads at once.

dbt runs several Python models at once in threads. Two threads that import packages at the same moment can block each other where the
packages import one another in circles, which Python answers with a _DeadlockError and dbt with a failed build.
"""

import threading
from importlib import import_module
from types import ModuleType

ONE_AT_A_TIME = threading.RLock()  # re-entrant: what is imported may import something late itself


def late_import(name: str) -> ModuleType:
    """The module of this name, imported alone."""
    with ONE_AT_A_TIME:
        return import_module(name)

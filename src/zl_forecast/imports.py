"""A lock around imports of large packages inside functions.

dbt runs several Python models at once in threads. Two threads that import packages at the same moment can block each other where the
packages import one another in circles, which Python answers with a _DeadlockError and dbt with a failed build. What the models import at
their top is imported once before, see `landing.plugin`.
"""

import threading

ONE_IMPORT_AT_A_TIME = threading.RLock()  # re-entrant: what is imported may import something inside a function itself

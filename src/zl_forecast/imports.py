"""A lock around imports of large packages inside functions.

dbt runs several Python models at once in threads. Two threads that import packages at the same moment can
block each other if the packages import one another in circles. Python then raises a _DeadlockError, and
the build fails. dbt's main thread imports the packages at the top of the models first, see `landing.plugin`.
"""

import threading

ONE_IMPORT_AT_A_TIME = threading.RLock()  # re-entrant: an imported module may take the lock too

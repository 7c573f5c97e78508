"""The web server of `make superset`: reachable from this machine only."""

import os

bind = f"127.0.0.1:{os.environ['PORT']}"
threads = 8
timeout = 120  # seconds for one request
graceful_timeout = 10
control_socket_disable = True
loglevel = "warning"


def post_worker_init(worker) -> None:
    """Say how to log in as soon as the server answers."""
    print(os.environ["ZL_SUPERSET_WELCOME"], flush=True)

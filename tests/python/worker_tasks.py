"""Tasks of test_workers.py, in a module of few imports: every worker process that a test starts imports it."""

import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from zl_forecast.errors import LandingError

MEGABYTES = b"x" * 5_000_000  # like tasks of the tournament, larger than a pipe's buffer


@dataclass(frozen=True)
class Task:
    number: int
    does: str = "sleeps"
    seconds: float = 0.1
    rows: bytes = MEGABYTES

    def __str__(self) -> str:
        return f"task {self.number}"


def work(task: Task):
    if task.does == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if task.does == "leaves":
        raise SystemExit(3)
    if task.does == "raises":
        raise LandingError(file="bars.csv", problem="the moon is in the wrong house", remedy="Wait.")
    if task.does == "times out":
        raise TimeoutError("a lock was not released")
    time.sleep(task.seconds)
    if task.does == "tells where":
        return os.environ.get("ZL_DATA_DIR"), os.environ.get("ZL_LANDING_DIR")
    if task.does == "tells":
        return os.getpid(), "wave" in sys.modules
    return os.getpid()


def _import_of_what_is_only_there() -> None:
    raise ImportError("libcuda.so.1: cannot open shared object file")


class OnlyThere:
    """Can be pickled, but not loaded in another process."""

    def __reduce__(self):
        return _import_of_what_is_only_there, ()


def oom_score(task) -> int:
    return int(Path("/proc/self/oom_score_adj").read_text())

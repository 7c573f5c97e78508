"""Ctrl-C or SIGTERM ends a build at once, with all of its processes.

dbt answers Ctrl-C by waiting until every model that runs has come to its end, which a training does after minutes, and SIGTERM not at
all, so that workers find out by themselves. Nothing is lost by ending at once: a build may be killed at any moment, and the next one goes on
from what is finished.
"""

import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

import psutil

SIGNALS = (signal.SIGINT, signal.SIGTERM)
MESSAGE = b"\nInterrupted. The same command goes on from what is finished.\n"


def end_on_interrupt() -> None:
    """Let Ctrl-C and SIGTERM end this process and its children; does nothing outside of the main thread, where Python sets no handlers."""
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:  # as under nohup
            signal.signal(signum, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    sys.setswitchinterval(1e-5)  # a model that computes gets 5 ms of the interpreter at each file of /proc that is read here
    halted = _halt_descendants()
    with suppress(OSError):  # nobody reads it
        os.write(_terminal(), MESSAGE)
    sys.setswitchinterval(60)  # no other thread runs from here on: it would start another worker for one that has been killed
    for pid in halted:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, signal.SIGKILL)
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)  # not an exit code: a shell then knows that it is to stop as well


def _halt_descendants() -> set[int]:
    """Halt all that this process and its children have started, so that none of them starts another; their process ids."""
    halted: set[int] = set()
    while new := [process for process in psutil.Process().children(recursive=True) if process.pid not in halted]:
        for process in new:
            halted.add(process.pid)
            with suppress(psutil.Error):  # it has ended by itself
                process.suspend()
    return halted


def _terminal() -> int:
    """Descriptor of the terminal, wherever a replay or a user sends the output; standard error where there is none."""
    try:
        return os.open("/dev/tty", os.O_WRONLY)
    except OSError:
        return 2

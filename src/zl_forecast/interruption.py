"""Ctrl-C or SIGTERM ends a build at once, with all of its processes.

dbt answers Ctrl-C by waiting until every model that runs has come to its end, which a training does after minutes, and SIGTERM not at
all, so that workers find out by themselves. Nothing is lost by ending at once: a build may be killed at any moment, and the next one goes on
from what is finished.

A process of its own does it: it halts the build first, whose threads would otherwise start another worker for each that is killed, and it does
not wait for the interpreter, which a model that computes holds.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from types import FrameType

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
    signal.signal(
        signum, signal.SIG_DFL
    )  # ends by the signal and not by an exit code: a shell then knows that it is to stop as well
    command = [sys.executable, "-m", __name__, str(os.getpid()), str(int(signum))]
    try:
        subprocess.Popen(command, process_group=0)  # not of the group that a second Ctrl-C ends
    except OSError:  # no memory for another process: workers find out by themselves
        os.kill(os.getpid(), signum)
    while True:
        time.sleep(1)  # until it is halted


def end_build(pid: int, signum: int) -> None:
    """Halt a build and all that it and its children have started, kill those, say so, and end the build by the signal.

    Parameters
    ----------
    pid : int
        The build, whose child this process is.
    signum : int
        Signal that the build does not handle any more.
    """
    import psutil  # 0.1 s, and this process alone needs it

    build, halted = psutil.Process(pid), {os.getpid()}
    build.suspend()
    while new := [process for process in build.children(recursive=True) if process.pid not in halted]:
        for process in new:
            halted.add(process.pid)
            with suppress(psutil.Error):  # it has ended by itself
                process.suspend()
    for child in halted - {os.getpid()}:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    with suppress(OSError):  # nobody reads it
        os.write(_terminal(), MESSAGE)
    os.kill(pid, signum)
    os.kill(pid, signal.SIGCONT)  # the signal takes effect before any of its threads runs on


def _terminal() -> int:
    """Descriptor of the terminal, wherever a replay or a user sends the output; standard error where there is none."""
    try:
        return os.open("/dev/tty", os.O_WRONLY)
    except OSError:
        return 2


if __name__ == "__main__":
    end_build(*map(int, sys.argv[1:]))

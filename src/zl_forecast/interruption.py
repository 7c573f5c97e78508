"""Ctrl-C or SIGTERM ends a build at once, with all of its processes.

After Ctrl-C dbt waits until every running model has ended, which takes minutes for a training, and it does
not handle SIGTERM. Ending at once loses nothing: a build may be killed at any moment, and the next one
reuses finished results.

A separate process ends the build. It halts the build first, since its threads would otherwise start a new
worker for each killed one. It does not wait for the interpreter lock, which a training model may hold.
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
MESSAGE = b"\nInterrupted. Finished fits are kept, and the last published snapshot is complete. Run the same command to continue.\n"
SHOW_CURSOR = b"\x1b[?25h"  # a progress line hides it


def end_on_interrupt() -> None:
    """Let Ctrl-C and SIGTERM end this process and its children.

    Outside the main thread it does nothing, since Python sets no signal handlers there.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for signum in SIGNALS:
        if signal.getsignal(signum) != signal.SIG_IGN:  # as under nohup
            signal.signal(signum, _end)


def _end(signum: int, frame: FrameType | None) -> None:
    # end by the signal, not by an exit code, so that a calling shell stops as well
    signal.signal(signum, signal.SIG_DFL)
    command = [sys.executable, "-m", __name__, str(os.getpid()), str(int(signum))]
    try:
        subprocess.Popen(command, process_group=0)  # in its own group, so that a second Ctrl-C does not end it
    except OSError:  # no memory for another process: workers end when this process does
        os.kill(os.getpid(), signum)
    while True:
        time.sleep(1)  # until the new process halts this one


def _end_build(pid: int, signum: int) -> None:
    """Halt a build and all its child processes, kill those, print a message, and end the build by the signal."""
    import psutil  # takes 0.1 s, and only this process needs it

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
    with suppress(OSError):  # the terminal is closed
        terminal = _terminal()
        os.write(terminal, (SHOW_CURSOR if os.isatty(terminal) else b"") + MESSAGE)
    os.kill(pid, signum)
    os.kill(pid, signal.SIGCONT)  # the signal takes effect before any of the build's threads continues


def _terminal() -> int:
    """Return a descriptor of the terminal, even if output is redirected; standard error if there is none."""
    try:
        return os.open("/dev/tty", os.O_WRONLY)
    except OSError:
        return 2


if __name__ == "__main__":
    _end_build(*map(int, sys.argv[1:]))

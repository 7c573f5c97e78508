"""dbt and mf in processes that have their packages imported: `run` forks one that imported them once, which saves four to six seconds.

`multiprocessing`'s fork server does the work. The process is no different from the command on a terminal for what the tests
look at; modules that test how a build dies or is interrupted start a process of their own.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["forked", "dbt.cli.main", "dbt_metricflow.cli.main", "dbt.adapters.duckdb", "zl_forecast.landing.plugin"]
)


def run(command: Sequence[str], folder: Path, environment: dict[str, str], output: Path, timeout: float) -> int:
    """Run an installed command and return its exit code.

    Parameters
    ----------
    command : sequence of str
        Its name, such as `dbt`, and its arguments.
    folder : Path
        Working directory.
    environment : dict[str, str]
        All environment variables; PYTHONPATH is heeded.
    output : Path
        File for standard output and standard error.
    timeout : float
        Seconds after which the process is killed.

    Returns
    -------
    int
        Exit code; negative after a signal.

    Raises
    ------
    TimeoutError
        The command did not end in time.
    """
    process = SERVER.Process(target=_command, args=(list(command), folder, environment, output))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"{' '.join(command)} had not ended after {timeout:.0f} s:\n{output.read_text()}")
    return process.exitcode


def _command(command: list[str], folder: Path, environment: dict[str, str], output: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    with output.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = command
    try:
        (installed,) = entry_points(group="console_scripts", name=command[0])
        installed.load()()
    finally:  # multiprocessing ends a process without flushing what click left
        sys.stdout.flush()
        sys.stderr.flush()

"""dbt in a process that has its packages imported: `run` forks it from one that imported them once, which saves six seconds.

`multiprocessing`'s fork server does the work. The process is no different from `python -m dbt.cli.main` for what the tests
look at; modules that test how a build dies or is interrupted start a process of their own.
"""

import multiprocessing
import os
import sys
from collections.abc import Sequence
from pathlib import Path

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["forked_dbt", "dbt.cli.main", "dbt.adapters.duckdb", "zl_forecast.landing.plugin"])


def run(args: Sequence[str], folder: Path, environment: dict[str, str], output: Path, timeout: float) -> int:
    """Run dbt with these arguments and return its exit code.

    Parameters
    ----------
    args : sequence of str
        dbt's arguments.
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
        dbt did not end in time.
    """
    process = SERVER.Process(target=_dbt, args=(tuple(args), folder, environment, output))
    process.start()
    process.join(timeout)
    if process.exitcode is None:
        process.kill()
        raise TimeoutError(f"dbt {' '.join(args)} had not ended after {timeout:.0f} s:\n{output.read_text()}")
    return process.exitcode


def _dbt(args: tuple[str, ...], folder: Path, environment: dict[str, str], output: Path) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    with output.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    sys.argv = ["dbt", *args]

    from dbt.cli.main import cli

    try:
        cli()
    finally:  # multiprocessing ends a process without flushing what click left
        sys.stdout.flush()
        sys.stderr.flush()

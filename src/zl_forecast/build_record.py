"""The record of the last successful build, and whether anything has changed since.

`zl build` reads the state of all inputs before a build, and writes it to the record after a successful
one. A failed or refused build therefore leaves the record unchanged, and two builds at the same time
cannot mix up their states. Unreadable paths count as changed. Only the standard library is imported, so
the check takes a tenth of a second.
"""

import fcntl
import hashlib
import json
import os
import stat
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zl_forecast.paths import artifacts_dir, data_dir, data_docs_dir, project_dir, serving_dir, state_beside, warehouse

PROJECT = (
    "dbt_project.yml",
    "expectations",
    "macros",
    "models",
    "profiles",
    "python_models",
    "seeds",
    "src",
    "tests/dbt",
)
RECORD = ".last_build.json"
UNFINISHED = ".unfinished_build.json"  # exists while a build runs, and after it failed
NOT_OF_BUILDS = ("ZL_DATA_DIR", "ZL_NOTIFY_URLS")  # the record is in that folder; builds send nothing

# by path or name, a value that differs if the content differs; None if a path cannot be read
State = dict[str, object]


def compare_with_record(inputs: State) -> tuple[str, str | None]:
    """Compare the inputs, and the outputs, with those of the last successful build.

    Parameters
    ----------
    inputs : dict
        As from `read_inputs`.

    Returns
    -------
    str
        When that build ended: local time in ISO format; empty if there is no record.
    str or None
        The first change since; None if there is none.
    """
    try:
        record = json.loads((data_dir() / RECORD).read_text())
        ended_at, old_inputs, old_outputs = record["ended_at"], record["inputs"], record["outputs"]
    except (OSError, ValueError, KeyError, TypeError):  # missing or damaged
        return "", "there is no record of a successful build"
    return ended_at, _find_change(old_inputs, inputs) or _find_change(old_outputs, _read_outputs())


def keep_record(inputs: State) -> None:
    """Write the record completely or not at all, and not while another process writes to the warehouse.

    Parameters
    ----------
    inputs : dict
        As from `read_inputs` before the build.
    """
    fresh = data_dir() / f"{RECORD}-{os.getpid()}"
    try:
        with warehouse().open("rb") as file:
            # DuckDB's own lock: no build can start while this process holds it
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            record = {"ended_at": datetime.now().isoformat(), "inputs": inputs, "outputs": _read_outputs()}
        fresh.write_text(json.dumps(record))
        os.replace(fresh, data_dir() / RECORD)
    except OSError as error:  # the build itself has succeeded
        reason = f"another process has opened {warehouse()}" if isinstance(error, BlockingIOError) else error
        print(f"This build was not recorded, so the next one builds again: {reason}", file=sys.stderr)
        fresh.unlink(missing_ok=True)


@dataclass(frozen=True)
class UnfinishedBuild:
    """The last build, if it has not succeeded.

    Attributes
    ----------
    started_at : str
        Local time.
    failures : list of (str, str)
        Name of the node and message; empty while it runs, and if it was killed.
    is_running : bool
        Whether its process exists.
    """

    started_at: str
    failures: list[tuple[str, str]]
    is_running: bool


def record_outcome(build: Callable[[], Sequence[tuple[str, str]]]) -> Sequence[tuple[str, str]]:
    """Run a build, and leave a record for `zl notify` while it has not succeeded.

    Parameters
    ----------
    build : callable
        Returns what failed: names of nodes and messages.

    Returns
    -------
    sequence of (str, str)
        As from `build`. What `build` raises is recorded and raised.
    """
    facts = {"started_at": f"{datetime.now():%Y-%m-%d %H:%M}", "pid": os.getpid(), "time": time.time()}
    _write_unfinished(facts)
    try:
        failures = build()
    except BaseException as error:
        said = "it was interrupted" if isinstance(error, KeyboardInterrupt) else str(error) or type(error).__name__
        _write_unfinished(facts | {"failures": [("", said)]})
        raise
    if failures:
        _write_unfinished(facts | {"failures": failures})
    else:
        forget_failure()
    return failures


def forget_failure() -> None:
    """Remove the record of a failed build, since the forecasts are up to date."""
    (data_dir() / UNFINISHED).unlink(missing_ok=True)


def unfinished_build() -> UnfinishedBuild | None:
    """Read the record that `record_outcome` left.

    Returns
    -------
    UnfinishedBuild or None
        None if the last build succeeded, or there was none.
    """
    try:
        facts = json.loads((data_dir() / UNFINISHED).read_text())
        failures = [(str(name), str(message)) for name, message in facts.get("failures", [])]
        return UnfinishedBuild(facts["started_at"], failures, not failures and _is_running(facts["pid"], facts["time"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # damaged
        return UnfinishedBuild("an unknown time", [], False)


def _write_unfinished(facts: State) -> None:
    with suppress(OSError):  # the build itself says what it cannot write
        data_dir().mkdir(parents=True, exist_ok=True)
        fresh = data_dir() / f"{UNFINISHED}-{os.getpid()}"
        fresh.write_text(json.dumps(facts))
        fresh.replace(data_dir() / UNFINISHED)


def _is_running(pid: int, recorded_at: float) -> bool:
    """Return whether the process still exists; its number may have been given to another one since."""
    import psutil  # not needed before a build

    try:
        return psutil.Process(pid).create_time() <= recorded_at
    except psutil.Error:
        return False


def read_inputs() -> State:
    """Read the state of the date, the settings, the installed packages, the project's files and the landing files.

    Returns
    -------
    dict
        By path or name, a value that differs if the content differs; None if a path cannot be read.
    """
    # hashed, since a value may be a password
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith(("ZL_", "DBT_")) and k not in NOT_OF_BUILDS)
    packages = sorted(name for name in os.listdir(sysconfig.get_path("purelib")) if name.endswith(".dist-info"))
    state: State = {
        "the day": datetime.now().date().isoformat(),
        "an environment variable (ZL_… or DBT_…)": hashlib.sha256(json.dumps(settings).encode()).hexdigest(),
        "the Python environment": [sys.version, sys.prefix, *packages],
    }
    for name in PROJECT:
        state |= _read_paths(project_dir() / name)
    named = os.environ.get("ZL_LANDING_DIR")
    landing = Path(named).absolute() if named else data_dir() / "landing"
    if named or os.path.lexists(landing):  # otherwise the build reads the simulated market, which is an output
        state |= _read_paths(landing)
    return state


def _read_outputs() -> State:
    """Read the state of both databases, cached fits, published snapshot, Data Docs and simulated market."""
    state: State = {}
    databases = (warehouse(), state_beside(warehouse()))
    for path in (*databases, artifacts_dir(), serving_dir(), data_docs_dir()):
        state |= _read_paths(path)
    for path in (*(file.with_suffix(".duckdb.wal") for file in databases), data_dir() / "sample"):
        if os.path.lexists(path):
            state |= _read_paths(path)
    return state


def _read_paths(root: Path) -> State:
    """Return resolved path and stat of each file and folder from `root` down; links are followed."""
    state: State = {}
    seen, todo = set(), [(str(root), os.path.realpath(root))]
    while todo:
        path, resolved = todo.pop()
        try:
            facts = os.stat(resolved)
            if not stat.S_ISDIR(facts.st_mode):
                state[path] = [resolved, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
                continue
            state[path] = [resolved]
            if resolved in seen:  # for example a link back to a parent folder
                continue
            seen.add(resolved)
            for entry in sorted(os.scandir(resolved), key=lambda entry: entry.name):
                if entry.name != "__pycache__":  # Python creates them in src
                    inside = os.path.join(path, entry.name)
                    todo.append((inside, os.path.realpath(entry.path) if entry.is_symlink() else entry.path))
        except OSError:
            state[path] = None
    return state


def _find_change(before: State, now: State) -> str | None:
    """Describe the first difference, or return None if there is none."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            return f"{name} was removed"
        if now[name] is None:
            return f"{name} cannot be read"
        if name not in before:
            return f"{name} is new"
        if before[name] != now[name]:
            return f"{name} has changed"
    return None

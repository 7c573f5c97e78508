"""Is there anything to build? The record of the last good build, and what is otherwise than it says.

`make build` asks before it starts, and gets what a build would read; it hands that back when the build has ended well, and only then
the record is written. So a build that fails or is refused changes no record, and two builds beside each other have nothing in common.
What cannot be looked at counts as changed. Nothing but the standard library is imported, for an answer in a tenth of a second.

    python -m zl_forecast.build_record          # ends with 0 and says so where nothing has changed, else prints what a build would read
    python -m zl_forecast.build_record --keep   # reads that back, and writes the record
"""

import fcntl
import hashlib
import json
import os
import stat
import sys
import sysconfig
from datetime import datetime
from pathlib import Path

from zl_forecast.paths import artifacts_dir, data_dir, data_docs_dir, serving_dir, warehouse

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

State = dict[
    str, object
]  # by path, or by name: any value that is another one when it has changed; None: it cannot be looked at


def main(arguments: list[str]) -> int:
    if arguments == ["--keep"]:
        read = sys.stdin.read().strip()
        return _keep(json.loads(read)) if read else 0  # nothing, where nobody asked
    read = _read_by_a_build()
    ended_at, change = _compare_with_last_build(read)
    if change:
        print(f"There is something to build: {change}", file=sys.stderr)
        print(json.dumps(read))
        return 1
    print(f"Nothing has changed since the last build, at {ended_at[11:16]}: nothing was built.")
    return 0


def _compare_with_last_build(read: State) -> tuple[str, str | None]:
    """When the last good build ended, and the first thing that has changed; None where nothing has."""
    try:
        record = json.loads((data_dir() / RECORD).read_text())
        ended_at, was_read, was_left = record["ended_at"], record["read"], record["left"]
    except (OSError, ValueError, KeyError, TypeError):  # there is none, or it is damaged
        return "", "no good build is on record"
    return ended_at, _first_change(was_read, read) or _first_change(was_left, _left_by_a_build())


def _keep(read: State) -> int:
    """Write the record at once or not at all; none where another build already has the warehouse."""
    with warehouse().open("rb") as file:
        try:
            fcntl.lockf(
                file, fcntl.LOCK_SH | fcntl.LOCK_NB
            )  # DuckDB's kind of lock: it keeps a build from starting now
        except OSError:
            print("The next `make build` builds again: another process has opened the warehouse.", file=sys.stderr)
            return 0
        record = {"ended_at": datetime.now().isoformat(), "read": read, "left": _left_by_a_build()}
    fresh = data_dir() / f"{RECORD}-{os.getpid()}"
    fresh.write_text(json.dumps(record))
    os.replace(fresh, data_dir() / RECORD)
    return 0


def _read_by_a_build() -> State:
    """The day, the settings, the packages, the project's files and the landing files."""
    # the data folder holds the record; a digest, since a value may be a password
    settings = sorted((k, v) for k, v in os.environ.items() if k.startswith(("ZL_", "DBT_")) and k != "ZL_DATA_DIR")
    packages = sorted(name for name in os.listdir(sysconfig.get_path("purelib")) if name.endswith(".dist-info"))
    state: State = {
        "the day": datetime.now().date().isoformat(),
        "a variable ZL_… or DBT_…": hashlib.sha256(json.dumps(settings).encode()).hexdigest(),
        "the Python environment": [sys.version, sys.prefix, *packages],
    }
    for name in PROJECT:
        state |= _at_or_below(Path(name).resolve())
    named = os.environ.get("ZL_LANDING_DIR")
    landing = Path(named).absolute() if named else data_dir() / "landing"
    if named or os.path.lexists(landing):  # else the simulated market is read, which a build leaves
        state |= _at_or_below(landing)
    return state


def _left_by_a_build() -> State:
    """The warehouse, finished fits, the published snapshot, the Data Docs and the simulated market."""
    state = {}
    for path in (warehouse(), artifacts_dir(), serving_dir(), data_docs_dir()):
        state |= _at_or_below(path)
    for path in (warehouse().with_suffix(".duckdb.wal"), data_dir() / "sample"):
        if os.path.lexists(path):
            state |= _at_or_below(path)
    return state


def _at_or_below(root: Path) -> State:
    """Where each file and folder really is, and what changes with the content of a file; links are followed."""
    state: State = {}
    seen, todo = set(), [(str(root), os.path.realpath(root))]
    while todo:
        path, real = todo.pop()
        try:
            facts = os.stat(real)
            if not stat.S_ISDIR(facts.st_mode):
                state[path] = [real, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
                continue
            state[path] = [real]
            if real in seen:  # a link to a folder above it, for one
                continue
            seen.add(real)
            for entry in sorted(os.scandir(real), key=lambda entry: entry.name):
                if entry.name != "__pycache__":  # Python makes them in src
                    inside = os.path.join(path, entry.name)
                    todo.append((inside, os.path.realpath(entry.path) if entry.is_symlink() else entry.path))
        except OSError:
            state[path] = None
    return state


def _first_change(before: State, now: State) -> str | None:
    """The first thing that differs, in words; None where nothing does."""
    for name in sorted(before.keys() | now.keys()):
        if name not in now:
            return f"{name} is gone"
        if now[name] is None:
            return f"{name} cannot be looked at"
        if name not in before:
            return f"{name} is new"
        if before[name] != now[name]:
            return f"{name} has changed"
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

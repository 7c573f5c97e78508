"""Opening DuckDB files: the warehouse of the build, the state beside it and the published snapshot.

A DuckDB file is open to one writing process or to several reading ones. Who holds it is said here, in the same words everywhere.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import duckdb
import psutil

from zl_forecast.errors import DatabaseInUse, ZlForecastError, printable
from zl_forecast.migrations import STATE_TABLES
from zl_forecast.paths import serving_dir, state_beside, warehouse

BUILDING = {"build", "run", "replay"}  # subcommands of dbt and zl
MAX_COMMAND_CHARACTERS = 80


@contextmanager
def open_warehouse(way_out: str, file: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Read-only connection to a warehouse, with the state beside it attached as `state`. Several processes may read at once, while none writes.

    Parameters
    ----------
    way_out : str
        What to do where there is no warehouse yet, for example "Run `make plan`."
    file : Path, optional
        The warehouse of the build unless given.

    Raises
    ------
    DatabaseInUse
        A build is running, or another program has the file open.
    ZlForecastError
        There is no warehouse yet, or it cannot be read.
    """
    file = file or warehouse()
    if not file.exists():
        raise ZlForecastError(f"there is no warehouse {file} yet. {way_out}")
    with open_database(file) as con:
        if state_beside(file).exists():
            attach_state(con, state_beside(file), read_only=True)
        else:
            _attach_older_state(con)
        yield con


def attach_state(con: duckdb.DuckDBPyConnection, file: Path, read_only: bool = False) -> None:
    """Attach a file as database `state`; errors as in `open_warehouse`. Connections of one process to a warehouse share what is attached."""
    path = str(file).replace("'", "''")
    try:
        con.execute(f"attach if not exists '{path}' as state (read_{'only' if read_only else 'write'})")
    except duckdb.Error as error:
        raise _explained(file, error) from error


def _attach_older_state(con: duckdb.DuckDBPyConnection) -> None:
    """The state as an older version kept it, in the warehouse, under its new name."""
    con.execute("attach if not exists ':memory:' as state (read_write)")
    con.execute("create schema if not exists state.forecasts; create schema if not exists state.monitoring")
    tables = con.execute(
        "select database_name, schema_name, table_name from duckdb_tables() where not internal"
    ).fetchall()
    for database, schema, name in tables:
        if f"{schema}.{name}" in STATE_TABLES:
            con.execute(f'create view if not exists state.{schema}.{name} as from "{database}".{schema}.{name}')


@contextmanager
def open_snapshot() -> Iterator[duckdb.DuckDBPyConnection]:
    """Read-only connection to the last published snapshot; errors as in `open_warehouse`."""
    file = snapshot_file()
    if not file.exists():
        raise ZlForecastError(f"nothing has been published in {serving_dir()} yet. Run `make build` (or `dbt build`).")
    with open_database(file) as con:
        yield con


def snapshot_file() -> Path:
    """The DuckDB file of the last published snapshot."""
    return serving_dir() / "serving.duckdb"


@contextmanager
def open_database(file: Path, read_only: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Connection to a DuckDB file; errors as in `open_warehouse`."""
    try:
        con = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        raise _explained(file, error) from error
    with con:
        yield con


def _explained(file: Path, error: duckdb.Error) -> ZlForecastError:
    holder = re.search(r"Conflicting lock is held in (.*?) \(PID (\d+)\)", str(error))
    if holder:
        return DatabaseInUse(f"{file} is in use: {_who_holds(holder[1], int(holder[2]))}. Try again when it has ended.")
    if "Could not set lock" in str(error):  # another machine, or the system does not tell
        return DatabaseInUse(f"{file} is in use by another process. Try again when it has ended.")
    reason = printable(str(error).split("\n")[0])
    return ZlForecastError(
        f"{file} cannot be opened: {reason}. Check who may read it, and that it is the file that a build has written."
    )


def _who_holds(program: str, pid: int) -> str:
    """The process that holds a file, in words; what the system does not tell is left out."""
    try:
        process = psutil.Process(pid)
        began, command = datetime.fromtimestamp(process.create_time()), process.cmdline()
    except psutil.Error:  # it has just ended, or is another user's
        return f"{printable(program)} (process {pid}) has it open"
    form = "%H:%M" if began.date() == datetime.now().date() else "%Y-%m-%d %H:%M"
    since = f"since {began:{form}}, process {pid}"
    if _is_build(command):
        return f"a build is running {since}"
    named = printable(" ".join(command) or program)
    if len(named) > MAX_COMMAND_CHARACTERS:
        named = f"{named[:MAX_COMMAND_CHARACTERS]} ..."
    return f"another program has it open {since}: {named}"


def _is_build(command: list[str]) -> bool:
    """Whether a command line is dbt's or zl's with a subcommand that builds."""
    for place, word in enumerate(command):
        if Path(word).name in ("dbt", "zl") or word == "dbt.cli.main":
            return not BUILDING.isdisjoint(command[place + 1 :])
    return False

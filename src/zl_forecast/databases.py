"""Opening DuckDB files: the warehouse of the build, the state beside it and the published snapshot.

A DuckDB file is open to one writing process or to several reading ones. If a file is in use, the error
names the process that holds it, in the same words everywhere.
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

BUILD_COMMANDS = {"build", "run", "replay", "tournament"}  # subcommands of dbt and zl
MAX_COMMAND_CHARACTERS = 80


@contextmanager
def open_warehouse(remedy: str, file: Path | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a warehouse read-only, with its state attached as database `state`.

    Several processes may read at the same time, but not while one writes.

    Parameters
    ----------
    remedy : str
        What to do if there is no warehouse yet, for example "Run `make plan`."
    file : Path, optional
        The warehouse of the build if omitted.

    Yields
    ------
    DuckDBPyConnection
        Closed at the end of the `with` block.

    Raises
    ------
    DatabaseInUse
        A build is running, or another program has the file open.
    ZlForecastError
        There is no warehouse yet, or it cannot be read.
    """
    file = file or warehouse()
    if not file.exists():
        raise ZlForecastError(f"there is no warehouse {file} yet. {remedy}")
    with open_database(file) as con:
        if state_beside(file).exists():
            attach_state(con, state_beside(file), read_only=True)
        else:
            _attach_older_state(con)
        yield con


def attach_state(con: duckdb.DuckDBPyConnection, file: Path, read_only: bool = False) -> None:
    """Attach a state file to a connection as database `state`.

    Connections of one process to a warehouse share attached databases, so attaching again has no effect.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of the warehouse.
    file : Path
        The state; created if it does not exist, unless `read_only`.
    read_only : bool
        Whether to refuse writes.

    Raises
    ------
    DatabaseInUse
        A build is running, or another program has the file open.
    ZlForecastError
        The file cannot be opened.
    """
    path = str(file).replace("'", "''")
    try:
        con.execute(f"attach if not exists '{path}' as state (read_{'only' if read_only else 'write'})")
    except duckdb.Error as error:
        raise _explain_error(file, error) from error


def _attach_older_state(con: duckdb.DuckDBPyConnection) -> None:
    """Create views `state.*` on the state of an older version, which kept it in the warehouse."""
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
    """Open the last published snapshot read-only.

    Yields
    ------
    DuckDBPyConnection
        Closed at the end of the `with` block.

    Raises
    ------
    DatabaseInUse
        Another program has the file open for writing.
    ZlForecastError
        Nothing has been published yet, or the file cannot be read.
    """
    file = snapshot_file()
    if not file.exists():
        raise ZlForecastError(f"nothing has been published in {serving_dir()} yet. Run `make build` (or `dbt build`).")
    with open_database(file) as con:
        yield con


def snapshot_file() -> Path:
    """Return the DuckDB file of the last published snapshot.

    Returns
    -------
    Path
        serving.duckdb in the serving folder; it does not exist before the first publication.
    """
    return serving_dir() / "serving.duckdb"


@contextmanager
def open_database(file: Path, read_only: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a DuckDB file.

    Parameters
    ----------
    file : Path
        Created if it does not exist, unless `read_only`.
    read_only : bool
        Whether to refuse writes; only then may several processes open the file.

    Yields
    ------
    DuckDBPyConnection
        Closed at the end of the `with` block.

    Raises
    ------
    DatabaseInUse
        A build is running, or another program has the file open.
    ZlForecastError
        The file cannot be opened.
    """
    try:
        con = duckdb.connect(str(file), read_only=read_only)
    except duckdb.Error as error:
        raise _explain_error(file, error) from error
    with con:
        yield con


def _explain_error(file: Path, error: duckdb.Error) -> ZlForecastError:
    holder = re.search(r"Conflicting lock is held in (.*?) \(PID (\d+)\)", str(error))
    if holder:
        return DatabaseInUse(
            f"{file} is in use: {_describe_holder(holder[1], int(holder[2]))}. Try again when it has ended."
        )
    if "Could not set lock" in str(error):  # held by another machine, or the system does not report the holder
        return DatabaseInUse(f"{file} is in use by another process. Try again when it has ended.")
    reason = printable(str(error).split("\n")[0])
    return ZlForecastError(f"{file} cannot be opened: {reason}. Check its permissions, and that a build wrote it.")


def _describe_holder(program: str, pid: int) -> str:
    """Describe the process that holds a file, as far as the system reports it."""
    try:
        process = psutil.Process(pid)
        began, command = datetime.fromtimestamp(process.create_time()), process.cmdline()
    except psutil.Error:  # the process has just ended, or belongs to another user
        return f"{printable(program)} (process {pid}) has it open"
    form = "%H:%M" if began.date() == datetime.now().date() else "%Y-%m-%d %H:%M"
    since = f"since {began:{form}}, process {pid}"
    if _is_build(command):
        return f"a build has been running {since}"
    named = printable(" ".join(command) or program)
    if len(named) > MAX_COMMAND_CHARACTERS:
        named = f"{named[:MAX_COMMAND_CHARACTERS]} ..."
    return f"another program has had it open {since}: {named}"


def _is_build(command: list[str]) -> bool:
    """Return whether a command line is dbt's or zl's with a subcommand that builds."""
    for position, word in enumerate(command):
        if Path(word).name in ("dbt", "zl") or word in ("dbt.cli.main", "zl_forecast.cli"):
            return not BUILD_COMMANDS.isdisjoint(command[position + 1 :])
    return False

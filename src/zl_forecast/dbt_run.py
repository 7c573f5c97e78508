"""Run dbt in this process: parse the project once, know what will run, and follow its events.

dbt writes its own log as ever (logs/dbt.log, or DBT_LOG_PATH); what the terminal shows is left to the caller.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import duckdb

from zl_forecast.errors import InvalidArgument, ZlForecastError
from zl_forecast.paths import data_dir, project_dir

FAILED = ("error", "fail", "runtime error", "partial success")
SILENT = ("--log-level", "none", "--log-level-file", "none")
TO_THE_LOG = ("--log-level", "none")  # of the terminal; the file has its own level
AS_IDS = ("--output", "json", "--output-keys", "unique_id")
TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Node:
    """What dbt runs: a model, seed or test.

    Attributes
    ----------
    name : str
        Its name.
    resource_type : str
        model, seed, test ...
    file : str
        Its file, below the project's folder.
    paths : tuple of str
        Its path below its folder of dbt_project.yml; of a test, those of what it reads.
    """

    name: str
    resource_type: str
    file: str
    paths: tuple[str, ...]


class BuildFailed(ZlForecastError):
    """A dbt command failed; the message has the node's name and its error."""


@dataclass(frozen=True)
class DbtRun:
    """A dbt command that is ready to run.

    Attributes
    ----------
    arguments : list of str
        dbt's command line, beginning with the command, without output on the terminal.
    nodes : dict of str to Node
        What it runs, by dbt's unique_id.
    manifest : dbt.contracts.graph.manifest.Manifest
        The parsed project.
    """

    arguments: list[str]
    nodes: dict[str, Node]
    manifest: Any


def invoke(arguments: Sequence[str], follow: Callable[[Any], None] | None = None, manifest: Any = None) -> Any:
    """Run a dbt command, and close the databases that dbt-duckdb would keep open.

    Parameters
    ----------
    arguments : sequence of str
        dbt's command line, beginning with the command.
    follow : callable, optional
        Receives each event (dbt's EventMsg), in the thread in which it happens.
    manifest : dbt.contracts.graph.manifest.Manifest, optional
        The parsed project; parsed by dbt if omitted.

    Returns
    -------
    dbt.cli.main.dbtRunnerResult

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # takes seconds
    from dbt.cli.main import dbtRunner

    ended = dbtRunner(manifest, [follow] if follow else []).invoke([*arguments])
    if DuckDBConnectionManager._ENV is not None:
        DuckDBConnectionManager.env().close()  # otherwise no other process could open the warehouse
    if isinstance(ended.exception, KeyboardInterrupt):
        raise ended.exception
    return ended


def prepare(arguments: Sequence[str]) -> DbtRun:
    """Parse the project and select what a dbt command runs.

    Parameters
    ----------
    arguments : sequence of str
        dbt's command line, beginning with the command.

    Returns
    -------
    DbtRun

    Raises
    ------
    InvalidArgument
        The command line is not valid.
    BuildFailed
        The project cannot be parsed.
    """
    _set_environment()
    import click
    from dbt.cli.main import cli, dbtRunner  # takes seconds

    name, *options = arguments
    command = cli.commands[name]
    try:
        context = command.make_context(name, options.copy())
    except click.UsageError as error:
        raise InvalidArgument(f"dbt {name}: {error.format_message()}") from error
    defaults = (click.core.ParameterSource.DEFAULT, click.core.ParameterSource.DEFAULT_MAP)
    given = {key: value for key, value in context.params.items() if context.get_parameter_source(key) not in defaults}

    project = ("--project-dir", str(project_dir()))

    def ask(command: str, *more: str, manifest: Any = None) -> Any:
        known = {parameter.name for parameter in cli.commands[command].params}
        own = {key: value for key, value in given.items() if key in known}
        ended = dbtRunner(manifest).invoke([command, *SILENT, *project, *more], **own)
        if not ended.success:
            raise BuildFailed(shorten(str(ended.exception)))
        return ended.result

    manifest = ask("parse")
    listed = [json.loads(line)["unique_id"] for line in ask("list", *AS_IDS, manifest=manifest)]
    nodes = {key: _node(manifest.nodes, key) for key in listed if key in manifest.nodes}
    return DbtRun([name, *TO_THE_LOG, *project, *options], nodes, manifest)


def _node(nodes: dict[str, Any], unique_id: str) -> Node:
    own = nodes[unique_id]
    read = (
        [nodes[key].path for key in own.depends_on.nodes if key in nodes] if own.resource_type == "test" else [own.path]
    )
    return Node(own.name, str(own.resource_type), own.original_file_path, tuple(read))


def _set_environment() -> None:
    """Make paths absolute, since dbt changes into the project's folder, and set what the Makefile sets."""
    os.environ["ZL_DATA_DIR"] = str(data_dir())
    if landing := os.environ.get("ZL_LANDING_DIR"):
        os.environ["ZL_LANDING_DIR"] = os.path.abspath(landing)
    os.environ.setdefault("DBT_PROFILES_DIR", str(project_dir() / "profiles"))
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # one fit per core, one thread per fit: more make fits slower


def failures(ended: Any) -> list[tuple[str, str]]:
    """List what failed in a dbt command.

    Parameters
    ----------
    ended : dbt.cli.main.dbtRunnerResult

    Returns
    -------
    list of (str, str)
        Name of the node and message, in order of completion; the name is empty if dbt itself failed.
    """
    if ended.exception:
        return [("", shorten(str(ended.exception)))]
    results = ended.result.results if ended.result else []
    return [(own.node.name, shorten(own.message or "")) for own in results if own.status in FAILED]


def count_planned_fits() -> dict[str, int]:
    """Count the fits of the plan that the running dbt command has just made.

    Returns
    -------
    dict of str to int
        Fits to train by bucket; empty if they cannot be read.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    environment: Any = DuckDBConnectionManager._ENV
    with suppress(AttributeError, duckdb.Error):  # no open database, or no such table: progress has no total then
        con = environment.conn.cursor()
        return dict(
            con.execute(
                "select bucket, count(*) from tournament.int_plan__fits where not is_fitted group by all"
            ).fetchall()
        )
    return {}


def last_error(message: str) -> str:
    """Return the error at the end of a message with a traceback; any other message unchanged.

    Parameters
    ----------
    message : str
        Of a node or an exception.

    Returns
    -------
    str
        For an error of this package without the name of its class, since the message says what is wrong.

    Examples
    --------
    >>> last_error("Traceback (most recent call last):\\n  File x\\nzl_forecast.errors.GateError: zl_targets failed")
    'zl_targets failed'
    """
    if TRACEBACK not in message:
        return message
    return re.sub(r"^zl_forecast\.[\w.]+: ", "", message.strip().splitlines()[-1].strip())


def shorten(message: str) -> str:
    """Shorten a message of dbt to one line of at most 600 characters; of a traceback only the error.

    Parameters
    ----------
    message : str
        Of a node or an exception.

    Returns
    -------
    str

    Examples
    --------
    >>> shorten("Runtime Error in model a\\n  Traceback (most recent call last):\\n    ...\\n  ValueError: no rows")
    'ValueError: no rows'
    """
    return " ".join(last_error(message).split())[:600]

"""dbt-duckdb plugin: attaches the state, whose tables cannot be computed again, as database `state`."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.flags import get_flags
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.databases import attach_state, open_database
from zl_forecast.errors import ZlForecastError
from zl_forecast.migrations import STATE_MIGRATIONS, migrate


class Plugin(BasePlugin):
    """Named `state` in profiles/profiles.yml, before all other plugins, so that databases are migrated first.

    `file` in its config is the DuckDB file, which is created if missing. With `copied_from`, the state of another
    data folder, each run starts with a copy of that state and leaves the original unchanged.
    """

    def initialize(self, plugin_config: dict) -> None:
        """Read the files from the plugin's config, create the folder of the state, and say where the project is."""
        if project := getattr(get_flags(), "PROJECT_DIR", None):  # none if dbt itself does not run
            os.environ["DBT_PROJECT_DIR"] = str(Path(project).resolve())  # for this process and its workers
        self._file = Path(plugin_config["file"])
        self._copied_from = Path(plugin_config["copied_from"]) if "copied_from" in plugin_config else None
        self._file.parent.mkdir(parents=True, exist_ok=True)  # dbt-duckdb then opens the warehouse in it

    def update_connection_config(self, creds: DuckDBCredentials, config: dict) -> None:
        """Check that the databases can be opened, then copy or create the state."""
        # dbt-duckdb connects next; its own error would be a traceback without the process that holds the file
        with _as_message():
            if Path(creds.path).exists():
                with open_database(Path(creds.path), read_only=False):
                    pass
            if self._copied_from:
                self._copy(self._copied_from)
            _create(self._file)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Attach the state to dbt's connection, and migrate the warehouse."""
        with _as_message():
            attach_state(conn, self._file)
            migrate(conn)

    def _copy(self, original: Path) -> None:
        _create(original)
        warehouse = original.with_name("warehouse.duckdb")
        if warehouse.exists():  # in older versions it holds the state
            with open_database(warehouse, read_only=False) as con:
                attach_state(con, original)
                migrate(con)
        self._file.with_name(f"{self._file.name}.wal").unlink(missing_ok=True)  # left by a killed run
        shutil.copyfile(original, self._file)


def _create(file: Path) -> None:
    with open_database(file, read_only=False) as con:
        migrate(con, STATE_MIGRATIONS)


@contextmanager
def _as_message() -> Iterator[None]:
    try:
        yield
    except ZlForecastError as error:
        raise DbtRuntimeError(str(error)) from error  # the only error that dbt prints without a traceback here

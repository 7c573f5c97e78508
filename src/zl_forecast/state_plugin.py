"""dbt-duckdb plugin: attaches the state, which holds what cannot be made again, as database `state`."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.databases import attach_state, open_database
from zl_forecast.errors import ZlForecastError
from zl_forecast.migrations import STATE_MIGRATIONS, migrate


class Plugin(BasePlugin):
    """Named `state` in profiles/profiles.yml, ahead of all others: nothing may read or write databases of another shape.

    `file` in its config is the DuckDB file, created where there is none. With `copied_from`, the state of a data folder, it begins as a
    copy of that one in every run, which so sees what is on record there and leaves no trace.
    """

    def initialize(self, plugin_config: dict) -> None:
        self._file = Path(plugin_config["file"])
        self._copied_from = Path(plugin_config["copied_from"]) if "copied_from" in plugin_config else None
        self._file.parent.mkdir(parents=True, exist_ok=True)  # dbt-duckdb opens the warehouse in it next

    def update_connection_config(self, creds: DuckDBCredentials, config: dict) -> None:
        # dbt-duckdb connects next; its own error would be a traceback that does not say who holds the file, and since when
        with _as_message():
            if Path(creds.path).exists():
                with open_database(Path(creds.path), read_only=False):
                    pass
            if self._copied_from:
                self._copy(self._copied_from)
            _create(self._file)

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        with _as_message():
            attach_state(conn, self._file)
            migrate(conn)

    def _copy(self, original: Path) -> None:
        _create(original)
        warehouse = original.with_name("warehouse.duckdb")
        if warehouse.exists():  # of an older version it holds the state
            with open_database(warehouse, read_only=False) as con:
                attach_state(con, original)
                migrate(con)
        self._file.with_name(f"{self._file.name}.wal").unlink(missing_ok=True)  # of a run that was killed
        shutil.copyfile(original, self._file)


def _create(file: Path) -> None:
    with open_database(file, read_only=False) as con:
        migrate(con, STATE_MIGRATIONS)


@contextmanager
def _as_message() -> Iterator[None]:
    try:
        yield
    except ZlForecastError as error:
        raise DbtRuntimeError(str(error)) from error  # of all errors at this place dbt prints this one as a message

"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

from pathlib import Path

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.databases import open_database
from zl_forecast.errors import ZlForecastError
from zl_forecast.interruption import end_on_interrupt
from zl_forecast.landing import find_landing, read_table
from zl_forecast.paths import data_dir


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        data_dir().mkdir(parents=True, exist_ok=True)  # dbt-duckdb opens the warehouse in it next

    def update_connection_config(self, creds: DuckDBCredentials, config: dict) -> None:
        # dbt-duckdb connects next; its own error would be a traceback that does not say who holds the file, and since when
        if not Path(creds.path).exists():
            return
        try:
            with open_database(Path(creds.path), read_only=False):
                pass
        except ZlForecastError as error:
            raise DbtRuntimeError(str(error)) from error  # of all errors at this place dbt prints this one as a message

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        # dbt-duckdb makes it for each source, and two threads that make it at once in a new warehouse fail one another
        conn.execute("create schema if not exists landing")

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        # dbt opens a connection in its main thread before it runs anything: the one place where a handler can be set from here
        end_on_interrupt()

    def load(self, source_config: SourceConfig) -> pa.Table:
        return read_table(source_config.identifier, find_landing())

"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.landing import find_landing, read_table
from zl_forecast.migrations import MigrationError, migrate
from zl_forecast.paths import data_dir


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        data_dir().mkdir(parents=True, exist_ok=True)  # dbt-duckdb opens the warehouse in it next

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        try:
            migrate(conn)  # first of all: nothing may read or write a warehouse of another shape
        except MigrationError as error:
            raise DbtRuntimeError(str(error)) from error  # of all errors at this place dbt prints this one as a message
        # dbt-duckdb makes it for each source, and two threads that make it at once in a new warehouse fail one another
        conn.execute("create schema if not exists landing")

    def load(self, source_config: SourceConfig) -> pa.Table:
        return read_table(source_config.identifier, find_landing())

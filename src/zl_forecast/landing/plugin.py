"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import threading
from contextlib import suppress
from pathlib import Path

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.calendar import kept_calendars
from zl_forecast.databases import open_database
from zl_forecast.errors import ZlForecastError
from zl_forecast.interruption import end_on_interrupt
from zl_forecast.landing import Landing, find_landing
from zl_forecast.landing.contract import sentences
from zl_forecast.migrations import MigrationError, migrate
from zl_forecast.paths import data_dir

SHOWN = ("refused", "quarantined", "warning")  # findings that the build's output has; `zl check` has all


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        data_dir().mkdir(parents=True, exist_ok=True)  # dbt-duckdb opens the warehouse in it next
        self._landing, self._state = None, ()
        self._lock = threading.Lock()
        self._holds_market = False

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
        try:
            migrate(conn)  # first of all: nothing may read or write a warehouse of another shape
        except MigrationError as error:
            raise DbtRuntimeError(str(error)) from error  # of all errors at this place dbt prints this one as a message
        # dbt-duckdb makes it for each source, and two threads that make it at once in a new warehouse fail one another
        conn.execute("create schema if not exists landing")
        with suppress(duckdb.CatalogException):  # a new warehouse has no ledger
            ledger = conn.execute("select count(*) from forecasts.zl_forecast_ledger where data_source = 'market'")
            self._holds_market = ledger.fetchone()[0] > 0

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        # dbt opens a connection in its main thread before it runs anything: the one place where a handler can be set from here
        end_on_interrupt()

    def load(self, source_config: SourceConfig) -> pa.Table:
        with self._lock:  # one of dbt's threads reads the folder for all; a replay runs many builds in one process
            folder = find_landing(may_simulate=not self._holds_market)
            if self._state != folder.state():
                self._landing, self._state = Landing(folder, kept_calendars()), folder.state()
            if source_config.identifier == "files":
                return self._landing.files()
            if source_config.identifier == "findings":
                findings = self._landing.findings()
                for line in sentences(findings, SHOWN):
                    print(f"landing, {line}", flush=True)
                return findings
            return self._landing.table(source_config.identifier)

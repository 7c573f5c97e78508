"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import threading

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig

from zl_forecast import calibration, core, publish, risk, validation, verdicts  # noqa: F401
from zl_forecast.calendar import kept_calendars
from zl_forecast.ensembles import tournament  # noqa: F401
from zl_forecast.interruption import end_on_interrupt
from zl_forecast.landing import Landing, find_landing
from zl_forecast.landing.contract import sentences

# What is not used here is for the Python models: imported once in dbt's main thread, since threads can block each other, see `imports`.
from zl_forecast.queries import read_value
from zl_forecast.tournament import attributions  # noqa: F401

SHOWN = ("refused", "quarantined", "warning")  # findings that the build's output has; `zl check` has all


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml, after `state`; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        self._landing: Landing | None = None
        self._state: tuple = ()
        self._lock = threading.Lock()
        self._holds_market = False

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        # dbt-duckdb makes it for each source, and two threads that make it at once in a new warehouse fail one another
        conn.execute("create schema if not exists landing")
        of_market = "select count(*) from state.forecasts.zl_forecast_ledger where data_source = 'market'"
        self._holds_market = read_value(conn, of_market) > 0

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        # dbt opens a connection in its main thread before it runs anything: the one place where a handler can be set from here
        end_on_interrupt()

    def load(self, source_config: SourceConfig) -> pa.Table:
        with self._lock:  # one of dbt's threads reads the folder for all; a replay runs many builds in one process
            folder = find_landing(may_simulate=not self._holds_market)
            if self._landing is None or self._state != folder.state():
                self._landing, self._state = Landing(folder, kept_calendars()), folder.state()
            if source_config.identifier == "files":
                return self._landing.files()
            if source_config.identifier == "findings":
                findings = self._landing.findings()
                for line in sentences(findings, SHOWN):
                    print(f"landing, {line}", flush=True)
                return findings
            return self._landing.table(source_config.identifier)

"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import threading
from contextlib import suppress

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig

from zl_forecast.calendar import kept_calendars
from zl_forecast.landing import Landing, find_landing
from zl_forecast.landing.contract import sentences
from zl_forecast.paths import data_dir

SAID = ("refused", "quarantined", "warning")  # findings that the build's output has; `zl check` has all


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        data_dir().mkdir(parents=True, exist_ok=True)  # dbt-duckdb opens the warehouse in it next
        self._landing, self._state = None, ()
        self._lock = threading.Lock()
        self._holds_market = False

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        # dbt-duckdb makes it for each source, and two threads that make it at once in a new warehouse fail one another
        conn.execute("create schema if not exists landing")
        with suppress(duckdb.CatalogException):  # a new warehouse has no ledger
            ledger = conn.execute("select count(*) from forecasts.zl_forecast_ledger where data_source = 'market'")
            self._holds_market = ledger.fetchone()[0] > 0

    def load(self, source_config: SourceConfig) -> pa.Table:
        with (
            self._lock
        ):  # the folder is read once, whichever of dbt's threads asks first; a replay runs many builds in one process
            folder = find_landing(may_simulate=not self._holds_market)
            if self._state != folder.state():
                self._landing, self._state = Landing(folder, kept_calendars()), folder.state()
            if source_config.identifier == "files":
                return self._landing.files()
            if source_config.identifier == "findings":
                findings = self._landing.findings()
                for line in sentences(findings, SAID):
                    print(f"landing, {line}", flush=True)
                return findings
            return self._landing.table(source_config.identifier)

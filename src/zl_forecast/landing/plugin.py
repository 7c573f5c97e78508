"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import threading
from datetime import UTC, datetime

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig
from duckdb.func import FunctionNullHandling

from zl_forecast import calibration, contributions, core, publish, risk, validation, verdicts  # noqa: F401
from zl_forecast.calendar import kept_calendars
from zl_forecast.ensembles import tournament  # noqa: F401
from zl_forecast.errors import ZlForecastError
from zl_forecast.freshness import Freshness, read_freshness
from zl_forecast.ingest.store import RUNS, Store
from zl_forecast.interruption import end_on_interrupt
from zl_forecast.landing import Landing, find_landing
from zl_forecast.landing.contract import sentences

# Imports marked F401 are for the Python models. dbt's main thread imports them once, since two importing threads could
# block each other, see `imports`.
from zl_forecast.queries import read_value
from zl_forecast.tournament import attributions  # noqa: F401

PRINTED_SEVERITIES = ("refused", "quarantined", "warning")  # findings printed by a build; `zl check` prints all


class Plugin(BasePlugin):
    """Named `landing` in profiles/profiles.yml, after `state`; dbt-duckdb calls `load` for each source table read."""

    def initialize(self, plugin_config: dict) -> None:
        """Start without a landing folder; it is read at the first `load`."""
        self._landing: Landing | None = None
        self._state: tuple = ()
        self._lock = threading.Lock()
        self._holds_market = False
        self._freshness: Freshness | None = None

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Create schema `landing` and function `complete_until`, and note if the state holds forecasts of a real market."""
        # dbt-duckdb creates it per source; two threads that do so at the same time in a new warehouse both fail
        conn.execute("create schema if not exists landing")
        of_market = "select count(*) from state.forecasts.zl_forecast_ledger where data_source = 'market'"
        self._holds_market = read_value(conn, of_market) > 0
        conn.create_function(
            "complete_until",
            self._complete_until,
            ["VARCHAR"],
            "TIMESTAMPTZ",
            null_handling=FunctionNullHandling.SPECIAL,  # it may return null
            side_effects=True,  # it depends on the clock
        )

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let Ctrl-C and SIGTERM end the build at once."""
        # dbt first opens a connection in its main thread; only there can a plugin set a signal handler
        end_on_interrupt()

    def load(self, source_config: SourceConfig) -> pa.Table:
        """Return a landing table, the tables `files` and `findings` of the check, or the record of ingest's runs.

        Parameters
        ----------
        source_config : SourceConfig
            Its identifier names the table: a key of `TABLES`, `files`, `findings` or `ingest_runs`.

        Returns
        -------
        pyarrow.Table
            See `Landing`, and `Store.runs` for `ingest_runs`. Loading `findings` also prints those that are not of severity `info`.

        Raises
        ------
        LandingError
            The files break the contract; see `Landing.table` and `find_landing`.
        """
        if source_config.identifier == "ingest_runs":
            try:
                return Store().runs()
            except ZlForecastError as error:  # a record of the past stops no forecast
                print(f"monitoring.ingest_runs is empty: {error}", flush=True)
                return RUNS.empty_table()
        with self._lock:  # one thread reads the folder for all
            # a replay runs many builds in one process, and the folder changes in between
            folder = find_landing(may_simulate=not self._holds_market)
            if self._landing is None or self._state != folder.state():
                self._landing, self._state = Landing(folder, kept_calendars()), folder.state()
            if source_config.identifier == "files":
                return self._landing.files()
            if source_config.identifier == "findings":
                findings = self._landing.findings()
                for line in sentences(findings, PRINTED_SEVERITIES):
                    print(f"landing, {line}", flush=True)
                return findings
            return self._landing.table(source_config.identifier)

    def _complete_until(self, source: str) -> datetime | None:
        """Return the instant until which a source lacks nothing: SQL function of `dbt source freshness`."""
        with self._lock:
            self._freshness = self._freshness or read_freshness()
        return self._freshness.complete_until(source, datetime.now(UTC))

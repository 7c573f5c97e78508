"""dbt-duckdb plugin: `source('landing', …)` is a checked landing file; a bad one stops the build."""

import threading

import duckdb
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt.adapters.duckdb.utils import SourceConfig

from zl_forecast import calibration, contributions, core, publish, risk, validation, verdicts  # noqa: F401
from zl_forecast.calendar import kept_calendars
from zl_forecast.ensembles import tournament  # noqa: F401
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

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Create the schema `landing`, and note whether the state holds forecasts of a real market."""
        # dbt-duckdb creates it per source; two threads that do so at the same time in a new warehouse both fail
        conn.execute("create schema if not exists landing")
        of_market = "select count(*) from state.forecasts.zl_forecast_ledger where data_source = 'market'"
        self._holds_market = read_value(conn, of_market) > 0

    def configure_cursor(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Let Ctrl-C and SIGTERM end the build at once."""
        # dbt first opens a connection in its main thread; only there can a plugin set a signal handler
        end_on_interrupt()

    def load(self, source_config: SourceConfig) -> pa.Table:
        """Return a landing table, or the tables `files` and `findings` of the check.

        Parameters
        ----------
        source_config : SourceConfig
            Its identifier names the table: a key of `TABLES`, `files` or `findings`.

        Returns
        -------
        pyarrow.Table
            See `Landing`. Loading `findings` also prints those that are not of severity `info`.

        Raises
        ------
        LandingError
            The files break the contract; see `Landing.table` and `find_landing`.
        """
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

"""Migrations: bring the databases of an older data folder to this version.

The tables of the state (`STATE_TABLES`) cannot be computed again. They have a database of their own, which
is created here as well. Every build rebuilds the warehouse; its migrations move the state that older
versions kept in it. Version 0 is a database without a table `migrations.applied`. To change a table of the
state, append to `STATE_MIGRATIONS`. Never change a released migration.
"""

from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from zl_forecast.errors import ZlForecastError
from zl_forecast.queries import read_row, read_value


@dataclass(frozen=True)
class Migration:
    """One step from the version before.

    Attributes
    ----------
    version : int
        1 for the first; one more than the version before.
    name : str
        What it does, in a few words.
    apply : callable
        Takes the connection, within a transaction. Any of the tables may be missing.
    """

    version: int
    name: str
    apply: Callable[[duckdb.DuckDBPyConnection], None]


class MigrationError(ZlForecastError):
    """The database cannot be used by this version, or could not be migrated. It is unchanged."""


# key columns by table; of rows with the same key, the first one written is kept
STATE_TABLES = {
    "forecasts.zl_forecast_ledger": ("as_of_date", "horizon_days", "model_version", "data_source"),
    "forecasts.bucket_forecast_ledger": ("as_of_date", "bucket", "horizon_days", "data_source"),
    "monitoring.run_history": ("bucket", "live_from", "trigger", "as_of_date", "data_source"),
    "monitoring.promotions": ("bucket", "horizon_days", "live_from", "champion", "challenger", "data_source"),
    "monitoring.degradations": ("bucket", "horizon_days", "state_since", "data_source"),
    "monitoring.health_history": ("subject", "horizon_days", "week_ending", "data_source", "recorded_at"),
}


def _mark_hindsight(con: duckdb.DuckDBPyConnection) -> None:
    """Mark in both ledgers the rows that were made when a later session was already known.

    This applies the rule of the models zl_forecast_ledger and bucket_forecast_ledger to builds of the past. A
    build wrote a row for the newest session that it knew, so the session known at `made_at` is the newest
    as_of_date of all rows made by then.
    """
    ledgers = [name for name in ("zl_forecast_ledger", "bucket_forecast_ledger") if _exists(con, "forecasts", name)]
    for name in ledgers:
        con.execute(f"alter table forecasts.{name} add column if not exists is_hindsight boolean")
    if not ledgers:
        return
    rows = " union all ".join(f"select data_source, made_at, as_of_date from forecasts.{name}" for name in ledgers)
    builds = f"""(
        select
            data_source,
            made_at,
            max(max(as_of_date)) over (partition by data_source order by made_at) as newest_seen_on
        from ({rows})
        group by data_source, made_at
    )"""
    if "zl_forecast_ledger" in ledgers:
        con.execute(
            f"""
            update forecasts.zl_forecast_ledger as made
            set is_hindsight = made.as_of_date < builds.newest_seen_on
            from {builds} as builds
            where builds.data_source = made.data_source and builds.made_at = made.made_at
            """
        )
    if "bucket_forecast_ledger" in ledgers:
        con.execute(
            f"""
            update forecasts.bucket_forecast_ledger as made
            set is_hindsight = made.as_of_date < builds.newest_seen_on
                and not (in_force.in_force_since < made.as_of_date and made.target_date > builds.newest_seen_on)
            from
                {builds} as builds,
                (
                    select bucket, horizon_days, data_source, family, artifact_id, min(newest_seen_on) as in_force_since
                    from forecasts.bucket_forecast_ledger
                    inner join {builds} using (data_source, made_at)
                    group by all
                ) as in_force
            where builds.data_source = made.data_source
                and builds.made_at = made.made_at
                and in_force.data_source = made.data_source
                and in_force.bucket = made.bucket
                and in_force.horizon_days = made.horizon_days
                and in_force.family = made.family
                and in_force.artifact_id = made.artifact_id
            """
        )


# tables of the warehouse that builds now write under another name
FORMER_TABLES = (
    "validation.gate",
    "validation.gate_zl",
    "tournament.core_zl",
    "tournament.ensemble_zl",
    "tournament.paths_zl",
    "tournament.risk_zl",
    "tournament.coverage_backtests",
    "tournament.verdicts",
    "tournament.family_verdicts",
    "tournament.attributions",
    "tournament.stored_artifacts",
    "intermediate.int_health__promises",
)


def drop_renamed(con: duckdb.DuckDBPyConnection) -> None:
    """Drop the tables that builds now write under another name.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of the warehouse, within a transaction.
    """
    for table in FORMER_TABLES:
        con.execute(f"drop table if exists {table}")


def _move_state(con: duckdb.DuckDBPyConnection) -> None:
    """Move the append-only tables of the warehouse to the attached database `state`, with the newest health.

    DuckDB writes to one database per transaction. The rows are written and committed on a separate cursor,
    then the tables are dropped. If a build is killed in between, the next one repeats both steps and leaves
    out rows whose key the state already has.
    """
    found = [table for table in STATE_TABLES if _exists(con, *table.split("."))]
    cursor = con.cursor()
    with _transaction(cursor):
        for table in found:
            cursor.execute(
                f"insert into state.{table} by name select {_as_renamed(con, table)} from {table} as old where {_is_new(table)}"
            )
        if _exists(con, "monitoring", "model_health", columns={"is_newest", *HEALTH_COLUMNS}):
            cursor.execute(
                f"""
                insert into state.monitoring.health_history by name
                from (
                    select {", ".join(HEALTH_COLUMNS)}, week_ending::timestamp as recorded_at
                    from monitoring.model_health
                    where is_newest
                ) as old
                where {_is_new("monitoring.health_history")}
                """
            )
    for table in found:
        con.execute(f"drop table {table}")


def _as_renamed(con: duckdb.DuckDBPyConnection, table: str) -> str:
    """Return the columns of `old` by the names and with the values that `_rename_terms` gave them in the state."""
    columns = [f"old.{old} as {new}" for old, new in RENAMED.get(table, {}).items() if _has(con, table, old)]
    if table == "monitoring.run_history" and _has(con, table, "action"):
        columns.append(f"{NEW_ACTION} as action")
    excluded = [*RENAMED.get(table, {}), *(["action"] if table == "monitoring.run_history" else [])]
    return ", ".join([f"columns(name -> name not in {tuple(excluded)})" if excluded else "*", *columns])


def _is_new(table: str) -> str:
    """Return the condition that the state has no row with the key of `old`."""
    same = " and ".join(f"written.{name} is not distinct from old.{name}" for name in STATE_TABLES[table])
    return f"not exists (from state.{table} as written where {same})"


def _create_state(con: duckdb.DuckDBPyConnection) -> None:
    """Create the tables of the state in a new database, empty."""
    con.execute(
        """
        create schema forecasts;
        create schema monitoring;
        create table forecasts.zl_forecast_ledger (
            as_of_date date, horizon_days integer, model_version varchar, data_source varchar, horizon_code varchar, target_date date,
            last_price double, p05 double, p10 double, p25 double, p50 double, p75 double, p90 double, p95 double, prob_up double,
            ensemble_method varchar, fallback_reason varchar, combination_share double, buckets_used varchar, buckets_offered varchar,
            verdict varchar, backtest_pinball_skill double, backtest_coverage_80 double, reference_p10 double, reference_p50 double,
            reference_p90 double, regime varchar, is_hindsight boolean, made_at timestamp
        );
        create table forecasts.bucket_forecast_ledger (
            as_of_date date, bucket varchar, horizon_days integer, data_source varchar, family varchar, fold_start date,
            trained_until date, artifact_id varchar, horizon_code varchar, target_date date, last_price double, scale double, q10 double,
            q50 double, q90 double, reference_q10 double, reference_q50 double, reference_q90 double, is_hindsight boolean,
            made_at timestamp
        );
        create table monitoring.run_history (
            bucket varchar, live_from date, action varchar, trigger varchar, reason varchar, n_fits bigint, n_to_train bigint,
            trained_until date, as_of_date date, data_source varchar, planned_at timestamp
        );
        create table monitoring.promotions (
            bucket varchar, horizon_days integer, live_from date, champion varchar, challenger varchar, is_promoted boolean,
            reason varchar, n_common_rows bigint, champion_pinball_pct double, challenger_pinball_pct double, as_of_date date,
            data_source varchar
        );
        create table monitoring.degradations (
            bucket varchar, horizon_days integer, acted_on date, state_since date, evidence_from date, statistic double, reason varchar,
            data_source varchar
        );
        create table monitoring.health_history (
            subject varchar, horizon_days integer, week_ending date, data_source varchar, horizon_code varchar, champion varchar,
            state varchar, state_since date, evidence_from date, statistic double, reason varchar, recorded_at timestamp
        );
        """
    )


RENAMED = {
    "forecasts.zl_forecast_ledger": {"combination_share": "shrinkage_weight"},
    "forecasts.bucket_forecast_ledger": {"scale": "horizon_volatility"},
}
NEW_ACTION = "case action when 'retournament' then 'reselection' else action end"


def _rename_terms(con: duckdb.DuckDBPyConnection) -> None:
    """Give columns and actions of the state the names that the rest of the project uses."""
    for table, names in RENAMED.items():
        for old, new in names.items():
            con.execute(f"alter table {table} rename column {old} to {new}")
    con.execute(f"update monitoring.run_history set action = {NEW_ACTION}")


HEALTH_COLUMNS = (
    *("subject", "horizon_days", "week_ending", "data_source", "horizon_code", "champion"),
    *("state", "state_since", "evidence_from", "statistic", "reason"),
)
MIGRATIONS = (
    Migration(1, "is_hindsight in both ledgers", _mark_hindsight),
    Migration(2, "state tables move to state.duckdb", _move_state),
    Migration(3, "tables with former names are dropped", drop_renamed),
)
STATE_MIGRATIONS = (
    Migration(1, "tables of the state", _create_state),
    Migration(2, "horizon_volatility, shrinkage_weight and reselection in place of older names", _rename_terms),
)


def migrate(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a database to the newest version.

    Each migration and its row in `migrations.applied` are one transaction, so an interrupted one has no effect.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of the database, with no other writer; of a warehouse with the state attached as `state`.
    migrations : tuple of Migration
        In ascending order of version.

    Raises
    ------
    MigrationError
        The database was made by a newer version, or a migration failed.
    """
    path, is_fresh = read_row(
        con,
        """
        select
            any_value(coalesce(path, database_name)),
            (select count(*) from duckdb_tables() where database_name = current_database()) = 0
        from duckdb_databases()
        where database_name = current_database()
        """,
    )
    newest = migrations[-1].version
    version = _version(con)
    if version > newest:
        raise MigrationError(
            f"{path} has database version {version}, written by a newer zl-forecast; this one supports up to {newest}. "
            "Update zl-forecast, or point ZL_DATA_DIR to another folder. Nothing was changed."
        )
    for migration in migrations:
        if migration.version > version:
            try:
                with _transaction(con):
                    migration.apply(con)
                    _record(con, migration)
            except duckdb.Error as error:
                raise MigrationError(
                    f"{path}: migration {migration.version} ({migration.name}) failed and was rolled back: {error}. The database "
                    "is unchanged. If the disk is full, free some space and build again; otherwise use the version of "
                    "zl-forecast that wrote it."
                ) from error
            if not is_fresh:
                print(f"{Path(path).name} migrated to version {migration.version}: {migration.name}", flush=True)


@contextmanager
def _transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    con.begin()
    try:
        yield
    except BaseException:
        con.rollback()
        raise
    con.commit()


def _version(con: duckdb.DuckDBPyConnection) -> int:
    if not _exists(con, "migrations", "applied"):
        return 0
    return read_value(con, "select coalesce(max(version), 0) from migrations.applied")


def _record(con: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    con.execute("create schema if not exists migrations")
    con.execute("create table if not exists migrations.applied (version integer, name varchar, applied_at timestamp)")
    con.execute(
        "insert into migrations.applied values (?, ?, timezone('UTC', now())::timestamp)",
        [migration.version, migration.name],
    )


def _has(con: duckdb.DuckDBPyConnection, table: str, column: str) -> bool:
    schema, name = table.split(".")
    return _exists(con, schema, name, columns={column})


def _exists(con: duckdb.DuckDBPyConnection, schema: str, table: str, *, columns: Set[str] = frozenset()) -> bool:
    """Return whether the connection's database has the table, with these columns."""
    found = con.execute(
        """
        select column_name from duckdb_columns()
        where database_name = current_database() and schema_name = ? and table_name = ?
        """,
        [schema, table],
    ).fetchall()
    return bool(found) and columns <= {name for (name,) in found}

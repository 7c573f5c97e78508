"""Migrations of the warehouse: what a build finds there, made by an older version, gets the shape that this version works with.

Tables that a build makes anew need none. The append-only ones do: forecasts.*_ledger and monitoring.run_history, promotions and
degradations hold what cannot be made again. Version 0 is a warehouse without a table `migrations.applied`. To change state, append a
`Migration`; one that has been released is never changed.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb

from zl_forecast.errors import ZlForecastError


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
        Takes the connection, within a transaction; any of the tables may be missing.
    """

    version: int
    name: str
    apply: Callable[[duckdb.DuckDBPyConnection], None]


class MigrationError(ZlForecastError):
    """The warehouse is not one that this version can work with, or could not be made one. It is as it was."""


def mark_hindsight(con: duckdb.DuckDBPyConnection) -> None:
    """Both ledgers say which rows were made when a later session was known, by what had been written before them.

    The rule of the models zl_forecast_ledger and bucket_forecast_ledger, over builds that have long ended: a build wrote a row for the newest
    session that it knew, so what was known at `made_at` is the newest as_of_date of all rows made by then.
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


MIGRATIONS = (Migration(1, "is_hindsight in both ledgers", mark_hindsight),)


def migrate(con: duckdb.DuckDBPyConnection, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Bring a warehouse to the newest version. A fresh one starts there.

    Each migration and its row in `migrations.applied` are one transaction, so one that was cut short has not happened.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of the warehouse, with nothing else at work on it.
    migrations : tuple of Migration
        In ascending order of version.

    Raises
    ------
    MigrationError
        The warehouse was made by a newer version, or a migration failed.
    """
    path, is_fresh = con.execute(
        """
        select
            any_value(coalesce(path, database_name)),
            (select count(*) from duckdb_tables() where database_name = current_database()) = 0
        from duckdb_databases()
        where database_name = current_database()
        """
    ).fetchone()
    newest = migrations[-1].version
    version = _version(con)
    if version > newest:
        raise MigrationError(
            f"{path} is a warehouse of version {version}, made by a newer zl-forecast; this one knows versions up to {newest}. "
            "Update zl-forecast, or point ZL_DATA_DIR to another folder. Nothing was changed."
        )
    if version == newest:
        return
    if is_fresh:
        with _transaction(con):
            for migration in migrations:
                _record(con, migration)
        return
    for migration in migrations:
        if migration.version > version:
            try:
                with _transaction(con):
                    migration.apply(con)
                    _record(con, migration)
            except duckdb.Error as error:
                raise MigrationError(
                    f"{path}: migration {migration.version} ({migration.name}) failed and was undone: {error}. The warehouse is as it was. "
                    "If the disk is full, free some space and build again; else go back to the version of zl-forecast that made it."
                ) from error
            print(f"Warehouse migrated to version {migration.version}: {migration.name}", flush=True)


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
    return con.execute("select coalesce(max(version), 0) from migrations.applied").fetchone()[0]


def _record(con: duckdb.DuckDBPyConnection, migration: Migration) -> None:
    con.execute("create schema if not exists migrations")
    con.execute("create table if not exists migrations.applied (version integer, name varchar, applied_at timestamp)")
    con.execute(
        "insert into migrations.applied values (?, ?, timezone('UTC', now())::timestamp)",
        [migration.version, migration.name],
    )


def _exists(con: duckdb.DuckDBPyConnection, schema: str, table: str) -> bool:
    found = con.execute(
        "select count(*) from duckdb_tables() where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, table],
    )
    return found.fetchone()[0] > 0

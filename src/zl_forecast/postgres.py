"""Publication in PostgreSQL: the tables of a snapshot, replaced in one transaction.

Rows are deleted and copied, never truncated or renamed: `truncate` and new tables would look empty to a reader whose
transaction began before. So one statement sees one snapshot, and a transaction with REPEATABLE READ sees one in all its
statements, without waiting for the publication or stopping it. Tables whose content is already there are left alone.
"""

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict

from zl_forecast.errors import ZlForecastError, printable
from zl_forecast.publish import DSN, MANIFEST

READER = "zl_reader"
SCHEMAS = ("forecasts", "monitoring")
CONNECT_SECONDS = 10
LOCK_SECONDS = 30
LOCK = 0x7A6C  # key of the advisory lock that publishers take
CHUNK = 1 << 20
TYPES = {
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "DOUBLE": "double precision",
    "FLOAT": "real",
    "HUGEINT": "numeric(39,0)",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "TINYINT": "smallint",
    "UBIGINT": "numeric(20,0)",
    "UINTEGER": "bigint",
    "VARCHAR": "text",
}
SNAPSHOT_TABLE = """
    create table if not exists monitoring.published_snapshot (
        table_schema text, table_name text, n_rows bigint, content_hash text, snapshot_id text,
        published_at timestamp with time zone default now(), primary key (table_schema, table_name)
    )
"""

Name = tuple[str, str]  # schema and table


def publish_to_postgres(snapshot: Path, dsn: str | None = None) -> list[str]:
    """Make the schemas of a PostgreSQL database equal to a snapshot, in one transaction.

    Parameters
    ----------
    snapshot : Path
        Folder of a snapshot; its manifest has the keys, its serving.duckdb rows and comments.
    dsn : str, optional
        Connection string or URL of libpq; the environment variable ZL_POSTGRES_DSN if omitted.

    Returns
    -------
    list of str
        The tables that were written, as 'schema.table'; empty if the database had them all.

    Raises
    ------
    ZlForecastError
        The database cannot be reached, refuses, or has tables of the same names that others made; it is unchanged, unless
        the message says that the commit was interrupted. The
        message never has the password.
    """
    conninfo: str = dsn or os.environ.get(DSN) or ""
    target = _describe(conninfo)
    published = json.loads((snapshot / MANIFEST).read_text())["tables"]
    is_committing = False
    try:
        with (
            duckdb.connect(str(snapshot / "serving.duckdb"), read_only=True) as source,
            psycopg.connect(conninfo, connect_timeout=CONNECT_SECONDS, application_name="zl-forecast") as con,
        ):
            written = _replace(source, con, published)
            is_committing = True
        return written
    except psycopg.Error as error:
        if is_committing and isinstance(error, psycopg.OperationalError):
            raise ZlForecastError(
                f"The connection to {target} was lost during the commit: {_reason(error)} It holds the old snapshot or the new one, whole."
            ) from error
        raise ZlForecastError(f"{target} was not updated: {_reason(error)} Nothing in it has changed.") from error
    except (OSError, duckdb.Error) as error:  # the rows go through a temporary file
        raise ZlForecastError(
            f"{target} was not updated, because the rows could not be read or written to {tempfile.gettempdir()}: {error}. Free some "
            "space there and run `zl export postgres`. Nothing in it has changed."
        ) from error


def _replace(source: duckdb.DuckDBPyConnection, con: psycopg.Connection, published: list[dict]) -> list[str]:
    """Replace all tables whose content differs; the caller's connection commits, or rolls back on an error."""
    con.execute(sql.SQL("set local lock_timeout = {}").format(f"{LOCK_SECONDS}s"))
    con.execute("select pg_advisory_xact_lock(%s)", [LOCK])  # a second publisher waits for the first one's commit
    for schema in SCHEMAS:
        con.execute(sql.SQL("create schema if not exists {}").format(sql.Identifier(schema)))
    con.execute(SNAPSHOT_TABLE)
    there = con.execute("select table_schema, table_name, content_hash from monitoring.published_snapshot").fetchall()
    old = {(schema, table): content for schema, table, content in there}
    new = {(row["table_schema"], row["table_name"]): row["content_hash"] for row in published}
    keys = {(row["table_schema"], row["table_name"]): row.get("key", []) for row in published}
    existing = _existing(con)
    if foreign := sorted(".".join(name) for name in existing.keys() & new.keys() - old.keys()):
        raise ZlForecastError(
            f"The PostgreSQL database has {', '.join(foreign)}, which this project did not publish and does not replace. Rename "
            "them, or name another database. Nothing in it has changed."
        )
    created = _create(con, _wanted(source, keys), existing)
    written = [name for name in new if name in created or new[name] != old.get(name)]
    for name in written:
        _copy(source, con, name)
    for name in sorted(old.keys() - new.keys()):
        con.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(*name)))
    if written or old != new:
        con.execute("delete from monitoring.published_snapshot")
        con.cursor().executemany(
            """
            insert into monitoring.published_snapshot
            values (%(table_schema)s, %(table_name)s, %(n_rows)s, %(content_hash)s, %(snapshot_id)s)
            """,
            published,
        )
    _let_readers_in(con)
    return [".".join(name) for name in written]


# ---------------------------------------------------------------- tables


@dataclass
class Table:
    """Definition of a table: PostgreSQL's type by column, primary key, and comment by column ('' is the table's own)."""

    columns: dict[str, str]
    key: list[str]
    comments: dict[str, str]


def _wanted(source: duckdb.DuckDBPyConnection, keys: dict[Name, list[str]]) -> dict[Name, Table]:
    """Return the definitions of a snapshot's tables."""
    columns = source.sql(
        """
        select schema_name, table_name, column_name, data_type, comment from duckdb_columns()
        where not internal
        order by schema_name, table_name, column_index
        """
    ).fetchall()
    unknown = [f"{schema}.{table}.{column} ({kind})" for schema, table, column, kind, _ in columns if not _type(kind)]
    if unknown:
        raise ZlForecastError(
            f"no type in PostgreSQL is known for {', '.join(unknown)}. Cast the column in its model, or add its type to "
            "zl_forecast.postgres.TYPES."
        )
    found = {name: Table({}, key, {}) for name, key in keys.items()}
    for schema, table, column, kind, comment in columns:
        found[schema, table].columns[column] = _type(kind)
        found[schema, table].comments[column] = comment
    for schema, table, comment in source.sql(
        "select schema_name, table_name, comment from duckdb_tables() where not internal"
    ).fetchall():
        found[schema, table].comments[""] = comment
    return found


def _type(kind: str) -> str:
    """Return PostgreSQL's name of a type of DuckDB; empty if it is not known."""
    return kind.lower().replace("decimal", "numeric") if kind.startswith("DECIMAL(") else TYPES.get(kind, "")


def _existing(con: psycopg.Connection) -> dict[Name, Table]:
    """Return the definitions of the tables that the database has in the two schemas."""
    rows = con.execute(
        """
        select nspname, relname, coalesce(attname, ''), format_type(atttypid, atttypmod),
            case when attnum is null then obj_description(pg_class.oid, 'pg_class')
                else col_description(pg_class.oid, attnum) end,
            array_position(indkey, attnum)
        from pg_class
        inner join pg_namespace on pg_namespace.oid = relnamespace
        left join pg_index on indrelid = pg_class.oid and indisprimary
        cross join lateral (
            select attname, atttypid, atttypmod, attnum from pg_attribute
            where attrelid = pg_class.oid and attnum > 0 and not attisdropped
            union all
            select null, null, null, null
        ) as columns
        where nspname = any(%s) and relkind = 'r'
        order by nspname, relname, attnum
        """,
        [list(SCHEMAS)],
    ).fetchall()
    found: dict[Name, Table] = {}
    places: dict[Name, dict[str, int]] = {}
    for schema, table, column, kind, comment, place in rows:
        own = found.setdefault((schema, table), Table({}, [], {}))
        own.comments[column] = comment
        if column:
            own.columns[column] = kind
        if place is not None:
            places.setdefault((schema, table), {})[column] = place
    for name, place in places.items():
        found[name].key = sorted(place, key=place.__getitem__)
    return found


def _create(con: psycopg.Connection, wanted: dict[Name, Table], existing: dict[Name, Table]) -> set[Name]:
    """Create the tables whose columns or key differ, set the comments that differ, and return what was created."""
    created = set()
    for name, table in wanted.items():
        old = existing.get(name, Table({}, [], {}))
        identifier = sql.Identifier(*name)
        if (list(table.columns.items()), table.key) != (list(old.columns.items()), old.key):
            parts = [sql.SQL("{} {}").format(sql.Identifier(own), sql.SQL(kind)) for own, kind in table.columns.items()]
            if table.key:
                parts.append(sql.SQL("primary key ({})").format(sql.SQL(", ").join(map(sql.Identifier, table.key))))
            con.execute(sql.SQL("drop table if exists {}").format(identifier))
            con.execute(sql.SQL("create table {} ({})").format(identifier, sql.SQL(", ").join(parts)))
            created.add(name)
            old.comments.clear()
        for column, comment in table.comments.items():
            if comment != old.comments.get(column):
                place = (
                    sql.SQL("column {}").format(sql.Identifier(*name, column))
                    if column
                    else sql.SQL("table {}").format(identifier)
                )
                con.execute(sql.SQL("comment on {} is {}").format(place, comment))
    return created


def _copy(source: duckdb.DuckDBPyConnection, con: psycopg.Connection, name: Name) -> None:
    """Replace the rows of a table. The rows go through a file of CSV, because COPY of text is the fastest way in."""
    target = sql.Identifier(*name)
    con.execute(sql.SQL("delete from {}").format(target))
    with tempfile.TemporaryDirectory(prefix="zl-postgres-") as folder:
        file = Path(folder) / "rows.csv"
        # every value is quoted, so that an unquoted empty field is a null
        source.execute(f"copy {_quoted(name)} to '{file}' (format csv, header false, force_quote *)")
        command = sql.SQL("copy {} from stdin (format csv)").format(target)
        with con.cursor() as cursor, cursor.copy(command) as copy, file.open("rb") as rows:
            while chunk := rows.read(CHUNK):
                copy.write(chunk)


def _let_readers_in(con: psycopg.Connection) -> None:
    """Grant the read-only role all tables. Without the right to create roles, say what an administrator does once."""
    exists = con.execute("select count(*) from pg_roles where rolname = %s", [READER]).fetchone()
    if not exists or not exists[0]:
        try:
            with con.transaction():  # a savepoint: a refusal must not undo the publication
                con.execute(sql.SQL("create role {} nologin").format(sql.Identifier(READER)))
        except errors.InsufficientPrivilege:
            print(
                f"PostgreSQL: this user may not create the read-only role {READER}; an administrator does it once: "
                f"create role {READER} nologin;",
                flush=True,
            )
            return
    for schema in SCHEMAS:
        con.execute(sql.SQL("grant usage on schema {} to {}").format(sql.Identifier(schema), sql.Identifier(READER)))
        con.execute(
            sql.SQL("grant select on all tables in schema {} to {}").format(
                sql.Identifier(schema), sql.Identifier(READER)
            )
        )


# ---------------------------------------------------------------- messages


def _describe(dsn: str) -> str:
    """Return server and database of a connection string for messages, without the password."""
    if not dsn:
        raise ZlForecastError(f"No PostgreSQL is named. Set {DSN}, for example to postgresql://zl@localhost/zl.")
    parts = None
    with suppress(psycopg.ProgrammingError):  # not chained: its text can contain the password
        parts = conninfo_to_dict(dsn)
    if parts is None:
        raise ZlForecastError(
            f"{DSN} is no connection string of PostgreSQL. Write it as postgresql://user@host:5432/database, and the password "
            "in ~/.pgpass or PGPASSWORD."
        )
    host, port = parts.get("host", "the local socket"), parts.get("port", "5432")
    return printable(f"PostgreSQL database {parts.get('dbname', parts.get('user', ''))} at {host}, port {port},")


def _reason(error: psycopg.Error) -> str:
    """Say in one or two sentences why PostgreSQL refused, and what to do."""
    remedies = {
        errors.LockNotAvailable: f"another session has held a table for {LOCK_SECONDS} s; end it, or try again later.",
        errors.DependentObjectsStillExist: (
            "a table has other columns now and must be created anew, but objects of yours depend on it; drop them and "
            "create them again afterwards."
        ),
        errors.DiskFull: "its disk is full; free some space and publish again with `zl export postgres`.",
        errors.InsufficientPrivilege: "the user may not write there; let it own the database, or the schemas forecasts and monitoring.",
    }
    text = printable(str(error).strip().splitlines()[0]).rstrip(".") if str(error).strip() else type(error).__name__
    for kind, remedy in remedies.items():
        if isinstance(error, kind):
            return f"{text}: {remedy}"
    if isinstance(error, psycopg.OperationalError):
        return (
            f"{text}. Check that the server runs and that {DSN} is right, and publish again with `zl export postgres`."
        )
    return f"{text}."


def _quoted(name: Name) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in name)

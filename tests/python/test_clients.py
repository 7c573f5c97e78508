"""Clients of a published snapshot: each lists the tables, reads the comments and gets the same numbers."""

import io
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import psycopg
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from tests.python import small_snapshot
from zl_forecast.postgres import publish_to_postgres
from zl_forecast.publish import publish

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "bi.md").read_text()
COLUMNS = ["horizon_days", "horizon_code", "as_of_date", "target_date", "p10", "p50", "p90", "fallback_reason"]
KEYS = {"forecasts.zl_forecast": ["horizon_days"]}
QUERY = f"select {', '.join(COLUMNS)} from forecasts.zl_forecast order by horizon_days"
TABLE_COMMENT, COLUMN_COMMENT = "Today's forecast; 80 % band.", 'Median in ¢/lb, it\'s the "middle".'


@dataclass
class Seen:
    """What a client sees: tables as 'schema.table', comments of zl_forecast and of its column p50, rows of COLUMNS."""

    tables: set[str]
    table_comment: str | None
    column_comment: str | None
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def expected() -> pd.DataFrame:
    return small_snapshot.forecast_rows()[COLUMNS]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    with small_snapshot.snapshot(**small_snapshot.whole_tables()) as con:
        names = con.sql("select schema_name || '.' || table_name from duckdb_tables()").fetchall()
        return {name: con.table(name).df() for (name,) in names}


@pytest.fixture(scope="module")
def serving(tables, tmp_path_factory) -> Path:
    """Publish the made-up snapshot with comments; returns the folder that clients are pointed to."""
    folder = tmp_path_factory.mktemp("clients")
    texts = {name: {"": f"Table {name}."} | {column: f"{column}." for column in rows} for name, rows in tables.items()}
    texts["forecasts.zl_forecast"] |= {"": TABLE_COMMENT, "p50": COLUMN_COMMENT}
    with (
        pytest.MonkeyPatch.context() as patch,
        small_snapshot.snapshot(**small_snapshot.whole_tables()) as con,
    ):
        patch.setenv("ZL_DATA_DIR", str(folder))
        publish({name: _with_dates(con.table(name)) for name in tables}, texts, KEYS)
    return folder / "serving"


def _with_dates(relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Give dates and times, which come from pandas as nanoseconds, the types of the contracts."""
    types = {
        name: "date" if name.endswith("date") else "timestamp"
        for name, kind in zip(relation.columns, relation.types, strict=True)
        if str(kind) == "TIMESTAMP_NS"
    }
    return relation.project(
        ", ".join(f"{name}::{types[name]} as {name}" if name in types else f'"{name}"' for name in relation.columns)
    )


def _seen_in_parquet(serving: Path, read: Callable[[Path], pd.DataFrame], texts: Callable[[Path], tuple]) -> Seen:
    file = serving / "parquet" / "forecasts.zl_forecast.parquet"
    return Seen({path.stem for path in (serving / "parquet").iterdir()}, *texts(file), read(file))


def _pyarrow_texts(file: Path) -> tuple[str, str]:
    schema = pq.read_schema(file)
    texts = schema.metadata, schema.field("p50").metadata
    return tuple(text[b"description"].decode() for text in texts)


def with_duckdb(serving: Path) -> Seen:
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as con:
        tables = con.sql("select table_schema || '.' || table_name from information_schema.tables").fetchall()
        own = "where table_name = 'zl_forecast'"
        [(table_comment,)] = con.sql(f"select comment from duckdb_tables() {own}").fetchall()
        [(column_comment,)] = con.sql(f"select comment from duckdb_columns() {own} and column_name = 'p50'").fetchall()
        return Seen({name for (name,) in tables}, table_comment, column_comment, con.sql(QUERY).df())


def with_pandas(serving: Path) -> Seen:
    return _seen_in_parquet(serving, lambda file: pd.read_parquet(file)[COLUMNS], lambda file: (None, None))


def with_pyarrow(serving: Path) -> Seen:
    return _seen_in_parquet(serving, lambda file: ds.dataset(file).to_table(COLUMNS).to_pandas(), _pyarrow_texts)


def with_polars(serving: Path) -> Seen:
    """Polars reads the comments of tables, not those of columns."""
    return _seen_in_parquet(
        serving,
        lambda file: pl.scan_parquet(file).select(COLUMNS).collect().to_pandas(),
        lambda file: (pl.read_parquet_metadata(file)["description"], None),
    )


def with_polars_over_duckdb(serving: Path) -> Seen:
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as con:
        tables = pl.read_database("select table_schema || '.' || table_name from information_schema.tables", con)
        return Seen(set(tables.to_series()), None, None, pl.read_database(QUERY, con).to_pandas())


def with_sqlalchemy(serving: Path) -> Seen:
    """Uses the URL of the documentation and reflection, as BI tools do; pandas reads through it."""
    [url] = set(re.findall(r"`(duckdb:///<path>\S*)`", PAGE))
    engine = sa.create_engine(url.replace("<path>", str(serving / "serving.duckdb")))
    inspector = sa.inspect(engine)
    schemas = ("forecasts", "monitoring")
    tables = {f"{schema}.{table}" for schema in schemas for table in inspector.get_table_names(schema=schema)}
    comments = {c["name"]: c["comment"] for c in inspector.get_columns("zl_forecast", schema="forecasts")}
    table = sa.Table("zl_forecast", sa.MetaData(), schema="forecasts", autoload_with=engine)
    rows = pd.read_sql(sa.select(*[table.c[name] for name in COLUMNS]).order_by(table.c.horizon_days), engine)
    table_comment = inspector.get_table_comment("zl_forecast", schema="forecasts")["text"]
    engine.dispose()
    return Seen(tables, table_comment, comments["p50"], rows)


CLIENTS = [with_duckdb, with_pandas, with_pyarrow, with_polars, with_polars_over_duckdb, with_sqlalchemy]
COMMENTS = {with_duckdb: 2, with_pyarrow: 2, with_polars: 1, with_sqlalchemy: 2}  # levels that the protocol has


def _check(seen: Seen, tables: set[str], n_comments: int, expected: pd.DataFrame) -> None:
    assert seen.tables == tables
    comments = [TABLE_COMMENT, COLUMN_COMMENT][:n_comments]
    assert [text for text in (seen.table_comment, seen.column_comment) if text is not None] == comments
    rows = seen.rows.assign(**{day: pd.to_datetime(seen.rows[day]) for day in ("as_of_date", "target_date")})
    assert rows["fallback_reason"].isna().all()
    pd.testing.assert_frame_equal(rows[COLUMNS[:-1]], expected[COLUMNS[:-1]], check_dtype=False, check_exact=True)


@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_lists_the_tables_and_reads_the_same_numbers_and_comments(serving, tables, expected, client):
    _check(client(serving), set(tables), COMMENTS.get(client, 0), expected)


def test_sqlalchemy_cannot_write_to_the_snapshot(serving):
    engine = sa.create_engine(f"duckdb:///{serving / 'serving.duckdb'}?access_mode=read_only")
    with engine.connect() as con, pytest.raises(sa.exc.DBAPIError, match="read-only"):
        con.execute(sa.text("delete from forecasts.zl_forecast"))
    engine.dispose()


# ---------- PostgreSQL, as a user with the role of readers

ANALYST = "analyst_of_clients"


@pytest.fixture(scope="module")
def database(serving, server) -> Iterator[str]:
    """Publish the same snapshot in PostgreSQL; returns the address for a reader, without the driver."""
    owner = f"postgresql://zl@127.0.0.1:{server.port}"
    with psycopg.connect(f"{owner}/postgres", autocommit=True) as con:
        con.execute("create database clients")
    publish_to_postgres(serving / "current", f"{owner}/clients")
    with psycopg.connect(f"{owner}/postgres", autocommit=True) as con:
        con.execute(f"create role {ANALYST} login in role zl_reader")
        yield f"{ANALYST}@127.0.0.1:{server.port}/clients"
        con.execute("drop database clients with (force)")
        con.execute(f"drop role {ANALYST}")


def with_psycopg(address: str) -> Seen:
    with psycopg.connect(f"postgresql://{address}") as con:
        tables = con.execute("select table_schema || '.' || table_name from information_schema.tables").fetchall()
        comments = con.execute(
            """
            select obj_description(attrelid), col_description(attrelid, attnum)
            from pg_attribute
            where attrelid = 'forecasts.zl_forecast'::regclass and attname = 'p50'
            """
        ).fetchone()
        own = {name for (name,) in tables if name.startswith(("forecasts.", "monitoring."))}
        return Seen(own, *comments, pd.DataFrame(con.execute(QUERY).fetchall(), columns=COLUMNS))


def with_psql(address: str) -> Seen:
    def ask(command: str) -> pd.DataFrame:
        arguments = ["psql", f"postgresql://{address}", "--no-psqlrc", "--csv", "-c", command]
        printed = subprocess.run(arguments, check=True, capture_output=True, text=True, timeout=60).stdout
        return pd.read_csv(io.StringIO(printed), float_precision="round_trip")

    tables = pd.concat([ask(f"\\dt+ {schema}.*") for schema in ("forecasts", "monitoring")]).set_index("Name")
    columns = ask("\\d+ forecasts.zl_forecast").set_index("Column")
    texts = tables.loc["zl_forecast", "Description"], columns.loc["p50", "Description"]
    return Seen(set(tables["Schema"] + "." + tables.index), *texts, ask(QUERY))


def with_sqlalchemy_and_psycopg(address: str) -> Seen:
    engine = sa.create_engine(f"postgresql+psycopg://{address}")
    inspector = sa.inspect(engine)
    schemas = ("forecasts", "monitoring")
    tables = {f"{schema}.{table}" for schema in schemas for table in inspector.get_table_names(schema=schema)}
    table = sa.Table("zl_forecast", sa.MetaData(), schema="forecasts", autoload_with=engine)
    assert list(table.primary_key.columns.keys()) == KEYS["forecasts.zl_forecast"]
    rows = pd.read_sql(sa.select(*[table.c[name] for name in COLUMNS]).order_by(table.c.horizon_days), engine)
    engine.dispose()
    return Seen(tables, table.comment, table.c.p50.comment, rows)


def with_polars_and_psycopg(address: str) -> Seen:
    with psycopg.connect(f"postgresql://{address}") as con:
        listed = pl.read_database(
            "select schemaname || '.' || tablename from pg_tables where schemaname in ('forecasts', 'monitoring')", con
        )
        return Seen(set(listed.to_series()), None, None, pl.read_database(QUERY, con).to_pandas())


def with_odbc(address: str) -> Seen:
    """Uses psqlODBC, the driver of Excel and others; its remarks on tables are empty."""
    pyodbc = pytest.importorskip("pyodbc", exc_type=ImportError)
    drivers = sorted(Path("/usr/lib").glob("*/odbc/psqlodbcw.so"))
    if not drivers:
        pytest.skip("there is no ODBC driver of PostgreSQL (Debian's package odbc-postgresql)")
    user, host, port, name = re.fullmatch(r"(\w+)@([\d.]+):(\d+)/(\w+)", address).groups()
    con = pyodbc.connect(f"Driver={drivers[0]};Server={host};Port={port};Database={name};UID={user}")
    listed = con.cursor().tables(tableType="TABLE").fetchall()
    tables = {f"{row.table_schem}.{row.table_name}" for row in listed}
    rows = con.cursor().execute(QUERY).fetchall()
    con.close()
    return Seen(tables, None, None, pd.DataFrame.from_records(rows, columns=COLUMNS))


SERVER_CLIENTS = {
    with_psycopg: 2,
    with_psql: 2,
    with_sqlalchemy_and_psycopg: 2,
    with_polars_and_psycopg: 0,
    with_odbc: 0,
}  # with the levels of comments that each shows


@pytest.mark.parametrize("client", SERVER_CLIENTS)
def test_a_client_of_postgresql_sees_the_same_as_a_reader(database, tables, expected, client):
    _check(client(database), {*tables, "monitoring.published_snapshot"}, SERVER_CLIENTS[client], expected)


# ---------- documentation


def test_the_documentation_names_the_versions_that_are_tried_here():
    named = dict(re.findall(r"^\| (\S+) (\d\S*) \| yes", PAGE, flags=re.MULTILINE))
    assert {"duckdb", "pandas", "polars", "psycopg", "pyarrow", "pyodbc", "SQLAlchemy"} <= set(named)
    assert named == {package: version(package) for package in named}

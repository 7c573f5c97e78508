"""Publication in PostgreSQL, on a server of Debian's package that the tests start on loopback."""

import json
import shutil
import subprocess
import tempfile
import threading
import traceback
from pathlib import Path

import duckdb
import psycopg
import pytest
from conftest import free_port
from psycopg import sql

from zl_forecast import cli, postgres
from zl_forecast import publish as publishing
from zl_forecast.errors import ZlForecastError
from zl_forecast.postgres import publish_to_postgres

TEXTS = ["", "a,b", 'say "no"', "two\nlines", "back\\slash", "\\N", "NULL", "¢ é 大豆", None]
POLLS = 1000


@pytest.fixture
def dsn(server, request):
    """Create an empty database; yields its connection string, as the owner."""
    admin, name = f"postgresql://zl@127.0.0.1:{server.port}/postgres", f"t{abs(hash(request.node.name))}"
    with psycopg.connect(admin, autocommit=True) as con:
        con.execute(f"create database {name}")
    yield f"postgresql://zl@127.0.0.1:{server.port}/{name}"
    with psycopg.connect(admin, autocommit=True) as con:
        con.execute(f"drop database {name} with (force)")


def snapshot(folder: Path, number: int = 1, rows: int = 5, extra: str = "", drop: bool = False) -> Path:
    """Write a snapshot of three tables, two of which contain `number`."""
    folder.mkdir(parents=True)
    with duckdb.connect(str(folder / "serving.duckdb")) as con:
        con.execute("create schema forecasts; create schema monitoring")
        con.execute(
            f"create table forecasts.a as select i::int as i, {number} as number {extra} from range({rows}) t(i)"
        )
        con.execute(f"create table monitoring.b as select i::bigint as i, {number}.5 as number from range({rows}) t(i)")
        con.execute("create table monitoring.types (id integer, text varchar, x double, y float, is_true boolean, "
                    "day date, moment timestamp, instant timestamptz, huge hugeint)")  # fmt: skip
        con.executemany(
            """
            insert into monitoring.types values (?, ?, 'nan', 1.5, true, '2026-01-31', '2026-01-31 12:00:00.123456',
                '2026-01-31 12:00:00+00', 170141183460469231731687303715884105727)
            """,
            list(enumerate(TEXTS)),
        )
        con.execute("insert into monitoring.types (id, x) values (100, 0.1), (101, '-inf'), (102, 1e-300), (103, -0.0)")
        con.execute(
            "comment on table forecasts.a is 'It''s a table; 100 %'; comment on column forecasts.a.i is 'The i'"
        )
        if drop:
            con.execute("drop table monitoring.b")
        tables = con.sql("select schema_name, table_name from duckdb_tables() where not internal").fetchall()
    keys = {"a": ["i"], "b": ["i"], "types": ["id"]}
    manifest = [
        {
            "table_schema": schema,
            "table_name": table,
            "n_rows": rows,
            "content_hash": "same" if table == "types" else f"{number}:{rows}",
            "snapshot_id": f"s{number}",
            "key": keys[table],
        }
        for schema, table in sorted(tables)
    ]
    (folder / "manifest.json").write_text(json.dumps({"tables": manifest}))
    return folder


def query(dsn: str, text: str):
    with psycopg.connect(dsn) as con:
        return con.execute(text).fetchall()


def numbers(con) -> set:
    """Return the numbers that one statement sees in both tables."""
    rows = con.execute(
        "select number::int from forecasts.a union select floor(number)::int from monitoring.b"
    ).fetchall()
    return {number for (number,) in rows}


# ---------------------------------------------------------------- what is there afterwards


def test_rows_types_keys_and_comments_are_those_of_the_snapshot(tmp_path, dsn):
    folder = snapshot(tmp_path / "s")
    assert publish_to_postgres(folder, dsn) == ["forecasts.a", "monitoring.b", "monitoring.types"]
    with duckdb.connect(str(folder / "serving.duckdb"), read_only=True) as con:
        con.execute("set timezone = 'UTC'")
        expected = con.sql("select * exclude (x), x::varchar from monitoring.types order by id").fetchall()
    with psycopg.connect(dsn) as con:
        con.execute("set timezone = 'UTC'")
        found = con.execute(
            "select id, text, y, is_true, day, moment, instant, huge, x from monitoring.types order by id"
        ).fetchall()
    assert [row[:-1] for row in found] == [row[:-1] for row in expected]
    assert [repr(row[-1]) for row in found] == [repr(float(row[-1])) if row[-1] else "None" for row in expected]
    types = dict(query(dsn, "select column_name, data_type from information_schema.columns where table_name = 'types'"))
    assert types == {
        "id": "integer",
        "text": "text",
        "x": "double precision",
        "y": "real",
        "is_true": "boolean",
        "day": "date",
        "moment": "timestamp without time zone",
        "instant": "timestamp with time zone",
        "huge": "numeric",
    }
    keys = query(
        dsn, "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint where contype = 'p'"
    )
    assert dict(keys)["forecasts.a"] == "PRIMARY KEY (i)"
    comments = query(
        dsn, "select obj_description('forecasts.a'::regclass), col_description('forecasts.a'::regclass, 1)"
    )
    assert comments == [("It's a table; 100 %", "The i")]
    assert query(dsn, "select table_name, snapshot_id from monitoring.published_snapshot order by 1") == [
        ("a", "s1"),
        ("b", "s1"),
        ("types", "s1"),
    ]


def test_only_what_differs_is_written_again(tmp_path, dsn):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    assert publish_to_postgres(tmp_path / "1", dsn) == []
    assert publish_to_postgres(snapshot(tmp_path / "2", number=2), dsn) == ["forecasts.a", "monitoring.b"]
    assert query(dsn, "select distinct number from forecasts.a") == [(2,)]
    assert set(query(dsn, "select snapshot_id from monitoring.published_snapshot")) == {("s2",)}


def test_a_new_column_and_a_table_that_is_gone(tmp_path, dsn):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    newer = snapshot(tmp_path / "2", number=2, extra=", i + 1 as j", drop=True)
    assert publish_to_postgres(newer, dsn) == ["forecasts.a"]
    assert query(dsn, "select sum(j) from forecasts.a") == [(15,)]
    assert query(dsn, "select to_regclass('monitoring.b')") == [(None,)]


def test_a_table_that_must_change_while_a_view_reads_it_names_the_remedy(tmp_path, dsn):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    with psycopg.connect(dsn) as con:
        con.execute("create view public.mine as select * from forecasts.a")
    with pytest.raises(ZlForecastError, match=r"objects of yours depend on it.*Nothing in it has changed"):
        publish_to_postgres(snapshot(tmp_path / "2", number=2, extra=", i + 1 as j"), dsn)
    assert query(dsn, "select distinct number from public.mine") == [(1,)]


def test_a_table_that_others_made_is_not_replaced(tmp_path, dsn):
    with psycopg.connect(dsn) as con:
        con.execute("create schema forecasts; create table forecasts.a as select 'mine' as note")
    with pytest.raises(ZlForecastError, match=r"has forecasts\.a, which this project did not publish"):
        publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    assert query(dsn, "select note from forecasts.a") == [("mine",)]
    assert query(dsn, "select to_regclass('monitoring.b')") == [(None,)]


def test_rows_that_cannot_be_written_to_a_file_leave_the_database_as_it_was(tmp_path, dsn, monkeypatch):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(ZlForecastError, match=r"Free some space there.*Nothing in it has changed"):
        publish_to_postgres(snapshot(tmp_path / "2", number=2), dsn)
    with psycopg.connect(dsn) as con:
        assert numbers(con) == {1}


def test_the_reader_may_read_and_not_write(tmp_path, dsn):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    with psycopg.connect(dsn) as con:
        con.execute("set role zl_reader")
        assert con.execute("select count(*) from forecasts.a").fetchone() == (5,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            con.execute("delete from forecasts.a")


def test_without_the_right_to_create_roles_it_publishes_and_says_what_is_missing(tmp_path, dsn, capsys):
    name = dsn.rsplit("/", 1)[1]
    with psycopg.connect(dsn) as con:
        con.execute(
            "drop owned by zl_reader"
            if query(dsn, "select 1 from pg_roles where rolname = 'zl_reader'")
            else "select 1"
        )
        con.execute("create role plain login")
        con.execute(sql.SQL("grant create on database {} to plain").format(sql.Identifier(name)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "READER", "zl_reader_of_nobody")
        publish_to_postgres(snapshot(tmp_path / "1"), dsn.replace("zl@", "plain@"))
    assert "create role zl_reader_of_nobody nologin;" in capsys.readouterr().out
    assert query(dsn, "select count(*) from forecasts.a") == [(5,)]
    with psycopg.connect(dsn) as con:
        con.execute("drop owned by plain cascade; drop role plain")


# ---------------------------------------------------------------- readers while it publishes


def test_readers_see_one_snapshot_in_a_statement_and_never_an_error(tmp_path, dsn):
    folders = [snapshot(tmp_path / str(number), number=number, rows=2000) for number in (1, 2)]
    publish_to_postgres(folders[0], dsn)
    done, seen, faults = threading.Event(), set(), []

    def poll() -> None:
        try:
            with psycopg.connect(dsn, autocommit=True) as con:
                for _ in range(POLLS):
                    found = numbers(con)
                    seen.update(found)
                    if len(found) != 1:
                        faults.append(found)
        except psycopg.Error as error:
            faults.append(error)
        done.set()

    readers = [threading.Thread(target=poll) for _ in range(2)]
    for reader in readers:
        reader.start()
    published = 0
    while not done.is_set():
        published += 1
        publish_to_postgres(folders[published % 2], dsn)
    for reader in readers:
        reader.join()
    assert faults == []
    assert seen == {1, 2}
    assert published > 2


def test_a_transaction_with_repeatable_read_sees_one_snapshot_in_all_statements(tmp_path, dsn):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    with psycopg.connect(dsn) as con:
        con.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        assert con.execute("select distinct number from forecasts.a").fetchall() == [(1,)]
        publish_to_postgres(snapshot(tmp_path / "2", number=2), dsn)  # does not wait for the reader
        assert con.execute("select count(*), min(number) from monitoring.b").fetchone() == (5, 1.5)
        con.commit()
        assert numbers(con) == {2}


def test_two_publishers_take_turns(tmp_path, dsn, monkeypatch):
    folders = [snapshot(tmp_path / str(number), number=number) for number in (1, 2)]
    began, may_end, copy = threading.Event(), threading.Event(), postgres._copy

    def slow_copy(*arguments) -> None:
        copy(*arguments)
        began.set()
        assert may_end.wait(20)

    monkeypatch.setattr(postgres, "_copy", slow_copy)
    first = threading.Thread(target=publish_to_postgres, args=(folders[0], dsn))
    first.start()
    assert began.wait(20)
    monkeypatch.setattr(postgres, "_copy", copy)
    second = threading.Thread(target=publish_to_postgres, args=(folders[1], dsn))
    second.start()
    second.join(0.5)
    assert second.is_alive()
    assert query(dsn, "select to_regclass('forecasts.a')") == [(None,)]  # neither has committed
    may_end.set()
    first.join()
    second.join()
    with psycopg.connect(dsn) as con:
        assert numbers(con) == {2}


# ---------------------------------------------------------------- what can fail


def test_a_wrong_password_is_named_but_never_shown(tmp_path, dsn):
    with psycopg.connect(dsn) as con:
        con.execute("create role locked login password 'right'")
    with pytest.raises(ZlForecastError, match="password authentication failed") as caught:
        publish_to_postgres(snapshot(tmp_path / "1"), dsn.replace("zl@", "locked:s3cret@"))
    assert "s3cret" not in str(caught.value)
    assert "ZL_POSTGRES_DSN" in str(caught.value)
    with psycopg.connect(dsn) as con:
        con.execute("drop role locked")


@pytest.mark.parametrize("bad", ["postgresql://zl:s3cret@[::1/zl", "no connection s3cret"])
def test_a_malformed_connection_string_is_not_shown(tmp_path, bad):
    with pytest.raises(ZlForecastError, match="connection string") as caught:
        publish_to_postgres(tmp_path, bad)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_no_server_there(tmp_path):
    with pytest.raises(ZlForecastError, match="Check that the server runs"):
        publish_to_postgres(snapshot(tmp_path / "1"), f"postgresql://zl@127.0.0.1:{free_port()}/zl")


def test_a_connection_that_dies_half_way_changes_nothing(tmp_path, dsn, monkeypatch):
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    copy = postgres._copy

    def dying_copy(source, con, name) -> None:
        copy(source, con, name)
        query(dsn, f"select pg_terminate_backend({con.info.backend_pid})")

    monkeypatch.setattr(postgres, "_copy", dying_copy)
    with pytest.raises(ZlForecastError, match=r"publish again with `zl export postgres`.*Nothing in it has changed"):
        publish_to_postgres(snapshot(tmp_path / "2", number=2), dsn)
    with psycopg.connect(dsn) as con:
        assert numbers(con) == {1}


def test_a_connection_that_dies_in_the_commit_leaves_either_snapshot(tmp_path, dsn, monkeypatch):
    commit = psycopg.Connection.commit

    def dying_commit(con) -> None:
        if con.info.get_parameters().get("application_name") == "zl-forecast":
            query(dsn, f"select pg_terminate_backend({con.info.backend_pid})")
        commit(con)

    monkeypatch.setattr(psycopg.Connection, "commit", dying_commit)
    with pytest.raises(
        ZlForecastError, match=r"was lost during the commit.*holds the old snapshot or the new one, whole\."
    ):
        publish_to_postgres(snapshot(tmp_path / "1"), dsn)


def test_a_table_that_another_session_holds_is_named(tmp_path, dsn, monkeypatch):
    monkeypatch.setattr(postgres, "LOCK_SECONDS", 1)
    publish_to_postgres(snapshot(tmp_path / "1"), dsn)
    with psycopg.connect(dsn) as holder:
        holder.execute("lock table forecasts.a in share mode")
        with pytest.raises(ZlForecastError, match="another session has held a table for 1 s"):
            publish_to_postgres(snapshot(tmp_path / "2", number=2), dsn)


def test_a_full_disk_changes_nothing(tmp_path, dsn, server):
    small = server.folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        place = small / "space"
        place.mkdir()
        shutil.chown(place, "postgres")
        with psycopg.connect(dsn, autocommit=True) as con:
            con.execute(f"create tablespace small location '{place}'")
            con.execute("set default_tablespace = small")
            publish_to_postgres(snapshot(tmp_path / "1"), dsn + "?options=-cdefault_tablespace%3Dsmall")
        with pytest.raises(ZlForecastError, match=r"disk is full.*Nothing in it has changed"):
            publish_to_postgres(
                snapshot(tmp_path / "2", number=2, rows=500_000), dsn + "?options=-cdefault_tablespace%3Dsmall"
            )
        with psycopg.connect(dsn) as con:
            assert numbers(con) == {1}
        with psycopg.connect(dsn, autocommit=True) as con:
            con.execute("drop schema forecasts cascade; drop schema monitoring cascade")
            con.execute("drop tablespace small")
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


# ---------------------------------------------------------------- a build, and zl export

ROWS = """
    select i::int as id, date '2026-01-02' + i::int as day, i / 8 as price, nullif('text, ' || i, 'text, 2') as note
    from range(5) t(i)
"""


@pytest.fixture
def publish_now(tmp_path, monkeypatch):
    """Return a function that publishes two small tables, as the last model of a build does."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(publishing.page, "render", lambda con: "<html></html>")

    def publish() -> None:
        with duckdb.connect() as con:
            tables = {"forecasts.prices": con.sql(ROWS), "monitoring.none": con.sql("select 1 as x limit 0")}
            publishing.publish(tables, keys={"forecasts.prices": ["id"]})

    return publish


def test_a_build_publishes_there_too_if_a_server_is_named(publish_now, dsn, monkeypatch, capsys):
    monkeypatch.setenv("ZL_POSTGRES_DSN", dsn)
    publish_now()
    publish_now()
    assert "PostgreSQL: 2 of 2 tables written\nPostgreSQL: unchanged\n" in capsys.readouterr().out
    assert query(dsn, "select id, day, price, note from forecasts.prices order by id") == duckdb.sql(ROWS).fetchall()
    assert query(
        dsn, "select pg_get_constraintdef(oid) from pg_constraint where conrelid = 'forecasts.prices'::regclass"
    ) == [("PRIMARY KEY (id)",)]


def test_a_build_whose_server_is_gone_fails_and_keeps_the_snapshot(publish_now, monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_POSTGRES_DSN", f"postgresql://zl@127.0.0.1:{free_port()}/zl")
    with pytest.raises(ZlForecastError, match="was not updated"):
        publish_now()
    assert (tmp_path / "data/serving/current/serving.duckdb").exists()


def test_export_copies_all_tables(publish_now, dsn, monkeypatch, tmp_path, capsys):
    publish_now()
    assert cli.main(["export", "csv", str(tmp_path / "csv")]) == 0
    assert cli.main(["export", "parquet", str(tmp_path / "parquet")]) == 0
    found = duckdb.sql(f"from read_csv('{tmp_path}/csv/forecasts.prices.csv', nullstr='')").fetchall()
    assert found == duckdb.sql(ROWS).fetchall()
    assert duckdb.sql(f"from '{tmp_path}/parquet/forecasts.prices.parquet'").fetchall() == duckdb.sql(ROWS).fetchall()
    assert (tmp_path / "csv/monitoring.none.csv").read_text() == "x\n"
    monkeypatch.setenv("ZL_POSTGRES_DSN", dsn)
    assert cli.main(["export", "postgres"]) == cli.main(["export", "postgres"]) == 0
    said = capsys.readouterr().out
    assert "2 tables written: forecasts.prices, monitoring.none" in said
    assert "The database had all tables already." in said


def test_export_says_what_it_needs(publish_now, tmp_path, monkeypatch, capsys):
    assert cli.main(["export", "csv", str(tmp_path / "csv")]) == 1
    publish_now()
    monkeypatch.delenv("ZL_POSTGRES_DSN", raising=False)
    (tmp_path / "mine.txt").touch()
    in_a_file = str(tmp_path / "mine.txt" / "tables")
    for arguments in (
        ["csv"],
        ["csv", in_a_file],
        ["parquet", str(tmp_path)],
        ["postgres"],
        ["postgres", str(tmp_path)],
    ):
        assert cli.main(["export", *arguments]) == 1
    said = capsys.readouterr().err
    for part in (
        "has been published",
        "could not be written",
        "needs a folder",
        "is not empty",
        "No PostgreSQL is named",
        "takes no folder",
    ):
        assert part in said

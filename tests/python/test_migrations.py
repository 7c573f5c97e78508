"""A warehouse that an older version made comes through without losing a row; a fresh one and a newer one are told apart."""

import subprocess
import sys

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.landing.plugin import Plugin
from zl_forecast.migrations import MIGRATIONS, Migration, MigrationError, migrate

# as the version before the first migration made them; the quantiles and texts in between are left out
OLD = """
create schema forecasts;
create schema monitoring;
create table forecasts.zl_forecast_ledger (
    as_of_date date, horizon_days integer, model_version varchar, data_source varchar, target_date date, p50 double, made_at timestamp
);
create table forecasts.bucket_forecast_ledger (
    as_of_date date, bucket varchar, horizon_days integer, data_source varchar, family varchar, fold_start date, trained_until date,
    artifact_id varchar, target_date date, q50 double, made_at timestamp
);
create table monitoring.run_history (bucket varchar, live_from date, planned_at timestamp);
insert into monitoring.run_history values ('crush', '2021-03-01', '2021-03-08 23:00');
"""
LEDGERS = ("zl_forecast_ledger", "bucket_forecast_ledger")
NEWEST = MIGRATIONS[-1].version
ALL = list(range(1, NEWEST + 1))


def bucket_row(as_of: str, target: str, made: str, artifact: str = "a", source: str = "market", hindsight: bool = True):
    return (f"2021-03-{as_of}", f"2021-03-{target}", f"2021-03-{made} 23:00", artifact, source, hindsight)


# builds on the 8th (the first), 16th and 17th, one on the 19th that went back to the 15th; between them a simulated one up to the 24th
MADE = [
    bucket_row("05", "12", "08"),
    bucket_row("08", "15", "08", hindsight=False),
    bucket_row("09", "16", "16"),  # its outcome had come
    bucket_row("10", "17", "16", hindsight=False),  # backfilled by models in force since the 8th
    bucket_row("10", "17", "16", artifact="b"),  # not in force before the 16th
    bucket_row("16", "23", "16", hindsight=False),
    bucket_row("17", "24", "17", hindsight=False),
    bucket_row("15", "22", "19", artifact="c"),
    bucket_row("24", "31", "12", source="simulated", hindsight=False),
]


@pytest.fixture
def old(tmp_path):
    """A warehouse of version 0 with the rows of `MADE` and the published forecasts of the same builds."""
    path = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(path)) as con:
        con.execute(OLD)
        for number, (as_of, target, made_at, artifact, source, _) in enumerate(MADE):
            con.execute(
                "insert into forecasts.bucket_forecast_ledger values (?, 'crush', 5, ?, 'ridge', '2021-03-01', '2021-02-22', ?, ?, ?, ?)",
                [as_of, source, artifact, target, number / 3, made_at],
            )
        for as_of, made in (("08", "08"), ("16", "16"), ("17", "17"), ("15", "19")):
            con.execute(
                "insert into forecasts.zl_forecast_ledger values (?, 5, ?, 'market', '2021-03-31', 50.1, ?)",
                [f"2021-03-{as_of}", made, f"2021-03-{made} 23:01"],
            )
    return path


def rows(path, table: str, columns: str = "*") -> list[tuple]:
    with duckdb.connect(str(path)) as con:
        return con.execute(f"select {columns} from {table} order by all").fetchall()


def versions(con) -> list[int]:
    return [row[0] for row in con.execute("select version from migrations.applied order by 1").fetchall()]


def test_rows_of_old_ledgers_say_whether_they_were_made_in_hindsight(old):
    with duckdb.connect(str(old)) as con:
        migrate(con)
    columns = "as_of_date::varchar, target_date::varchar, strftime(made_at, '%Y-%m-%d %H:%M'), artifact_id, data_source, is_hindsight"
    assert rows(old, "forecasts.bucket_forecast_ledger", columns) == sorted(MADE)
    published = rows(old, "forecasts.zl_forecast_ledger", "day(as_of_date), is_hindsight")
    assert published == [(8, False), (15, True), (16, False), (17, False)]


def test_no_row_and_no_value_of_an_old_warehouse_is_lost_and_the_second_time_changes_nothing(old, capsys):
    tables = [f"forecasts.{name}" for name in LEDGERS] + ["monitoring.run_history"]
    before = {table: rows(old, table) for table in tables}
    for _ in range(2):
        with duckdb.connect(str(old)) as con:
            migrate(con)
            assert versions(con) == ALL
    for table, own in before.items():
        columns = "* exclude (is_hindsight)" if table.endswith("_ledger") else "*"
        assert rows(old, table, columns) == own
    assert capsys.readouterr().out.count("Warehouse migrated to version 1: is_hindsight in both ledgers") == 1


@pytest.mark.parametrize("missing", [LEDGERS[:1], LEDGERS[1:], LEDGERS])
def test_a_first_build_that_was_cut_short_has_not_made_every_ledger(old, missing):
    with duckdb.connect(str(old)) as con:
        for name in missing:
            con.execute(f"drop table forecasts.{name}")
        migrate(con)
        for name in set(LEDGERS) - set(missing):
            assert con.execute(f"select count(*) from forecasts.{name} where is_hindsight is null").fetchone() == (0,)
        assert versions(con) == ALL


def never(con):
    raise AssertionError("a fresh warehouse has nothing to migrate")


def test_a_fresh_warehouse_starts_at_the_newest_version_without_migrations():
    with duckdb.connect() as con:
        migrate(con, (Migration(1, "one", never), Migration(2, "two", never)))
        assert versions(con) == [1, 2]


def test_only_what_is_newer_than_the_warehouse_is_applied_in_order(old):
    applied = []
    steps = tuple(Migration(v, str(v), lambda con, v=v: applied.append(v)) for v in (1, 2, 3))
    with duckdb.connect(str(old)) as con:
        migrate(con, steps[:1])
        migrate(con, steps)
        assert applied == versions(con) == [1, 2, 3]


def test_a_warehouse_of_a_newer_version_is_refused_and_left_alone(old):
    with duckdb.connect(str(old)) as con:
        migrate(con, (*MIGRATIONS, Migration(NEWEST + 1, "of the future", lambda con: None)))
        says = rf"warehouse.duckdb is a warehouse of version {NEWEST + 1}, .*versions up to {NEWEST}\. Update"
        with pytest.raises(MigrationError, match=says):
            migrate(con)
        assert versions(con) == [*ALL, NEWEST + 1]


def test_a_migration_that_fails_is_undone_and_named(old):
    def fails(con):
        con.execute("delete from forecasts.zl_forecast_ledger")
        con.execute("select error('no space left')")

    before = rows(old, "forecasts.zl_forecast_ledger")
    with duckdb.connect(str(old)) as con:
        with pytest.raises(MigrationError, match=r"migration 1 \(falls over\) failed and was undone: .*no space left"):
            migrate(con, (Migration(1, "falls over", fails),))
        migrate(con)
        assert versions(con) == ALL
    assert rows(old, "forecasts.zl_forecast_ledger", "* exclude (is_hindsight)") == before


def test_a_migration_that_was_killed_has_not_happened_and_the_next_build_makes_it(old):
    killed = f"""
import duckdb, os
from zl_forecast.migrations import MIGRATIONS, Migration, migrate
def killed(con):
    MIGRATIONS[0].apply(con)
    os._exit(9)
migrate(duckdb.connect({str(old)!r}), (Migration(1, "killed", killed),))
"""
    before = rows(old, "forecasts.bucket_forecast_ledger")
    assert subprocess.run([sys.executable, "-c", killed]).returncode == 9
    assert rows(old, "forecasts.bucket_forecast_ledger") == before
    with duckdb.connect(str(old)) as con:
        migrate(con)
    assert len(rows(old, "forecasts.bucket_forecast_ledger", "is_hindsight")) == len(MADE)


def test_a_build_migrates_before_it_reads_anything_and_dbt_prints_a_refusal_without_a_traceback(old):
    with duckdb.connect(str(old)) as con:
        Plugin("landing", {}).configure_connection(con)
        assert versions(con) == ALL
        con.execute("update migrations.applied set version = 99")
        with pytest.raises(DbtRuntimeError, match="is a warehouse of version 99"):
            Plugin("landing", {}).configure_connection(con)

"""Migrations keep every row of older data folders, and distinguish fresh and newer ones."""

import shutil
import subprocess
import sys
from types import SimpleNamespace

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.migrations import (
    HEALTH_COLUMNS,
    MIGRATIONS,
    RENAMED,
    STATE_MIGRATIONS,
    STATE_TABLES,
    Migration,
    MigrationError,
    drop_renamed,
    migrate,
)
from zl_forecast.paths import state_beside
from zl_forecast.state_plugin import Plugin

# tables of the version before the first migration, without the quantiles and texts in between
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
create table monitoring.run_history (
    bucket varchar, live_from date, trigger varchar, as_of_date date, data_source varchar, planned_at timestamp
);
insert into monitoring.run_history values ('crush', '2021-03-01', null, '2021-03-08', 'market', '2021-03-08 23:00');
"""
LEDGERS = ("zl_forecast_ledger", "bucket_forecast_ledger")
NEWEST = MIGRATIONS[-1].version
ALL = list(range(1, NEWEST + 1))
TABLES = [*(f"forecasts.{name}" for name in LEDGERS), "monitoring.run_history"]


def bucket_row(as_of: str, target: str, made: str, artifact: str = "a", source: str = "market", hindsight: bool = True):
    return (f"2021-03-{as_of}", f"2021-03-{target}", f"2021-03-{made} 23:00", artifact, source, hindsight)


# builds on the 8th (first), 16th, 17th, one on the 19th that went back to the 15th, a simulated one to the 24th
MADE = [
    bucket_row("05", "12", "08"),
    bucket_row("08", "15", "08", hindsight=False),
    bucket_row("09", "16", "16"),  # already matured
    bucket_row("10", "17", "16", hindsight=False),  # backfilled by models active since the 8th
    bucket_row("10", "17", "16", artifact="b"),  # not active before the 16th
    bucket_row("16", "23", "16", hindsight=False),
    bucket_row("17", "24", "17", hindsight=False),
    bucket_row("15", "22", "19", artifact="c"),
    bucket_row("24", "31", "12", source="simulated", hindsight=False),
]


@pytest.fixture
def old(tmp_path):
    """Write a warehouse of version 0 with the rows of `MADE` and the published forecasts of the same builds."""
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


def shapes(path) -> dict[str, str]:
    """Describe the columns of each state table as text."""
    return {
        table: ", ".join(row[0] for row in rows(path, f"(describe {table})", "column_name")) for table in STATE_TABLES
    }


def connect(warehouse) -> None:
    """Configure the plugin as dbt does before it runs a node."""
    plugin = Plugin("state", {"file": str(state_beside(warehouse))})
    plugin.update_connection_config(SimpleNamespace(path=str(warehouse)), {})
    with duckdb.connect(str(warehouse)) as con:
        plugin.configure_connection(con)


def test_rows_of_old_ledgers_are_marked_as_hindsight_or_not(old):
    connect(old)
    columns = "as_of_date::varchar, target_date::varchar, strftime(made_at, '%Y-%m-%d %H:%M'), artifact_id, data_source, is_hindsight"
    assert rows(state_beside(old), "forecasts.bucket_forecast_ledger", columns) == sorted(MADE)
    published = rows(state_beside(old), "forecasts.zl_forecast_ledger", "day(as_of_date), is_hindsight")
    assert published == [(8, False), (15, True), (16, False), (17, False)]


def test_migration_keeps_all_rows_and_values_and_is_idempotent(old, capsys):
    with duckdb.connect(str(old)) as con:
        columns = {
            table: ", ".join(name for name, *_ in con.execute(f"describe {table}").fetchall()) for table in TABLES
        }
    before = {table: rows(old, table, columns[table]) for table in TABLES}
    for _ in range(2):
        connect(old)
        with duckdb.connect(str(old)) as con:
            assert versions(con) == ALL
            assert con.execute("select count(*) from duckdb_tables() where schema_name <> 'migrations'").fetchone() == (
                0,
            )
        assert {table: rows(state_beside(old), table, columns[table]) for table in TABLES} == before
    said = capsys.readouterr().out
    assert said.count("warehouse.duckdb migrated to version 1: is_hindsight in both ledgers") == 1
    assert said.count("warehouse.duckdb migrated to version 2: state tables move to state.duckdb") == 1


def test_migration_keeps_the_last_health_states_that_the_next_plan_reads(old):
    said = dict.fromkeys(HEALTH_COLUMNS, "null") | {
        "subject": "'crush'",
        "horizon_days": "5",
        "week_ending": "date '2021-03-19'",
    }
    with duckdb.connect(str(old)) as con:
        listed = ", ".join(f"{value} as {name}" for name, value in said.items())
        con.execute(f"create table monitoring.model_health as select {listed}, true as is_newest")
        con.execute("insert into monitoring.model_health by name select 'crush' as subject, false as is_newest")
    connect(old)
    recorded = rows(
        state_beside(old), "monitoring.health_history", "subject, week_ending::varchar, recorded_at::varchar"
    )
    assert recorded == [("crush", "2021-03-19", "2021-03-19 00:00:00")]
    assert len(rows(old, "monitoring.model_health")) == 2


def test_a_restored_old_warehouse_adds_only_rows_that_the_state_lacks(old):
    shutil.copy(old, old.with_name("backup"))
    connect(old)
    before = {table: rows(state_beside(old), table) for table in TABLES}
    with duckdb.connect(str(state_beside(old))) as con:
        con.execute("delete from forecasts.zl_forecast_ledger where as_of_date = '2021-03-16'")
        con.execute("update forecasts.zl_forecast_ledger set verdict = 'skill' where as_of_date = '2021-03-17'")
    shutil.copy(old.with_name("backup"), old)
    connect(old)
    assert {table: len(rows(state_beside(old), table)) for table in TABLES} == {
        table: len(own) for table, own in before.items()
    }
    assert (17, "skill") in rows(state_beside(old), "forecasts.zl_forecast_ledger", "day(as_of_date), verdict")


def rename_back(path) -> None:
    """Give the ledgers and the history the columns and the action of older versions, with a value in each row."""
    with duckdb.connect(str(path)) as con:
        for table, names in RENAMED.items():
            for name in names:
                con.execute(f"alter table {table} add column {name} double")
                con.execute(f"update {table} set {name} = 0.25")
        con.execute("alter table monitoring.run_history add column action varchar")
        con.execute("update monitoring.run_history set action = 'retournament'")


def test_migration_renames_columns_and_actions_and_keeps_their_values(old):
    rename_back(old)
    connect(old)
    for table, names in RENAMED.items():
        for name in names.values():
            assert set(rows(state_beside(old), table, name)) == {(0.25,)}
    assert rows(state_beside(old), "monitoring.run_history", "bucket, action") == [("crush", "reselection")]


def test_a_state_of_version_1_keeps_all_rows_and_values_under_the_new_names(tmp_path, capsys):
    state = tmp_path / "state.duckdb"
    with duckdb.connect(str(state)) as con:
        migrate(con, STATE_MIGRATIONS[:1])
        con.execute(
            "insert into forecasts.zl_forecast_ledger by name select date '2021-03-08' as as_of_date, 0.5 as combination_share"
        )
        con.execute("insert into forecasts.bucket_forecast_ledger by name select 'crush' as bucket, 0.25 as scale")
        con.execute(
            "insert into monitoring.run_history by name from (values ('crush', 'retournament'), ('fx', 'score')) as made (bucket, action)"
        )
    connect(tmp_path / "warehouse.duckdb")
    assert rows(state, "forecasts.zl_forecast_ledger", "day(as_of_date), shrinkage_weight") == [(8, 0.5)]
    assert rows(state, "forecasts.bucket_forecast_ledger", "bucket, horizon_volatility") == [("crush", 0.25)]
    assert rows(state, "monitoring.run_history", "bucket, action") == [("crush", "reselection"), ("fx", "score")]
    assert "state.duckdb migrated to version 2" in capsys.readouterr().out


@pytest.mark.parametrize("missing", [LEDGERS[:1], LEDGERS[1:], LEDGERS])
def test_migration_accepts_missing_ledgers_of_an_interrupted_first_build(old, missing):
    with duckdb.connect(str(old)) as con:
        for name in missing:
            con.execute(f"drop table forecasts.{name}")
    connect(old)
    for name in LEDGERS:
        own = rows(state_beside(old), f"forecasts.{name}", "is_hindsight")
        assert bool(own) == (name not in missing)
        assert (None,) not in own


def test_a_fresh_data_folder_has_both_databases_at_the_newest_version_without_messages(tmp_path, capsys):
    connect(tmp_path / "warehouse.duckdb")
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as con:
        assert versions(con) == ALL
    assert all(rows(tmp_path / "state.duckdb", table) == [] for table in STATE_TABLES)
    assert capsys.readouterr().out == ""


def test_a_migrated_and_a_fresh_state_have_the_same_schema(old, tmp_path):
    connect(old)
    connect(tmp_path / "fresh.duckdb")
    assert shapes(state_beside(old)) == shapes(tmp_path / "state.duckdb")


def test_only_newer_migrations_are_applied_and_in_order(old):
    applied = []
    steps = tuple(Migration(v, str(v), lambda con, v=v: applied.append(v)) for v in (1, 2, 3))
    with duckdb.connect(str(old)) as con:
        migrate(con, steps[:1])
        migrate(con, steps)
        assert applied == versions(con) == [1, 2, 3]


def test_tables_of_renamed_models_are_dropped_and_others_stay(old):
    with duckdb.connect(str(old)) as con:
        con.execute("create schema tournament; create schema validation")
        for name in ("tournament.core_zl", "tournament.int_tournament__choices", "validation.gate"):
            con.execute(f"create table {name} as select 1 as n")
        drop_renamed(con)
        left = con.sql("select table_name from duckdb_tables() where schema_name in ('tournament', 'validation')")
        assert left.fetchall() == [("int_tournament__choices",)]


@pytest.mark.parametrize("which", ["warehouse", "state"])
def test_a_database_of_a_newer_version_is_refused_and_unchanged(old, which):
    connect(old)
    with duckdb.connect(str(old.with_name(f"{which}.duckdb"))) as con:
        newest = versions(con)[-1]
        con.execute("insert into migrations.applied values (99, 'of the future', null)")
    # dbt prints a DbtRuntimeError as a message, any other error as a traceback
    says = rf"{which}.duckdb has database version 99, .*supports up to {newest}\. Update"
    with pytest.raises(DbtRuntimeError, match=says):
        connect(old)


def test_a_failing_migration_is_rolled_back_and_named(old):
    def fails(con):
        con.execute("delete from forecasts.zl_forecast_ledger")
        con.execute("select error('no space left')")

    before = rows(old, "forecasts.zl_forecast_ledger", "as_of_date, p50")
    with (
        duckdb.connect(str(old)) as con,
        pytest.raises(MigrationError, match=r"migration 1 \(falls over\) failed and was rolled back: .*no space left"),
    ):
        migrate(con, (Migration(1, "falls over", fails),))
    connect(old)
    assert rows(state_beside(old), "forecasts.zl_forecast_ledger", "as_of_date, p50") == before


# killed before this statement: hindsight is rolled back; rows not yet committed; committed, old tables remain
@pytest.mark.parametrize("dies_before", ["update", "commit of the state", "drop table"])
def test_a_kill_at_any_moment_loses_and_duplicates_no_row(old, dies_before):
    script = f"""
import os, sys, duckdb
from zl_forecast import databases, migrations
class Dying:
    def __init__(self, con, commits_to): self.con, self.commits_to = con, commits_to
    def __getattr__(self, name): return getattr(self.con, name)
    def execute(self, sql, *values):
        if sql.split()[:len({dies_before!r}.split())] == {dies_before!r}.split(): os._exit(9)
        return self.con.execute(sql, *values)
    def commit(self):
        if "commit of the " + self.commits_to == {dies_before!r}: os._exit(9)
        self.con.commit()
    def cursor(self): return Dying(self.con.cursor(), "state")
with duckdb.connect({str(state_beside(old))!r}) as con: migrations.migrate(con, migrations.STATE_MIGRATIONS)
con = duckdb.connect({str(old)!r})
databases.attach_state(con, {str(state_beside(old))!r})
migrations.migrate(Dying(con, "warehouse"))
"""
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9
    moved = [len(rows(state_beside(old), table)) for table in TABLES]
    assert all(moved) if dies_before == "drop table" else not any(moved)
    assert len(rows(old, "forecasts.bucket_forecast_ledger")) == len(MADE)
    connect(old)
    assert [len(rows(state_beside(old), table)) for table in TABLES] == [4, len(MADE), 1]
    columns = "as_of_date::varchar, target_date::varchar, strftime(made_at, '%Y-%m-%d %H:%M'), artifact_id, data_source, is_hindsight"
    assert rows(state_beside(old), "forecasts.bucket_forecast_ledger", columns) == sorted(MADE)

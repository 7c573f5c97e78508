"""The state database: models read it as a source and write it, and readers run before writers."""

import subprocess
import sys
from types import SimpleNamespace

import duckdb
import pytest
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast.databases import open_warehouse
from zl_forecast.errors import LandingError
from zl_forecast.landing.plugin import Plugin as LandingPlugin
from zl_forecast.migrations import STATE_TABLES
from zl_forecast.paths import state_beside
from zl_forecast.state_plugin import Plugin


@pytest.fixture(scope="module")
def manifest(sample_features):
    return sample_features.manifest


@pytest.fixture(scope="module")
def sources(manifest) -> dict[str, dict]:
    """Select the sources of the state, by schema.table."""
    of_state = [source for source in manifest["sources"].values() if source["database"] == "state"]
    return {f"{own['schema']}.{own['identifier']}": own for own in of_state if own["schema"] != "migrations"}


def writer(manifest, source) -> dict:
    return manifest["nodes"][f"model.zl_forecast.{source['config']['meta']['written_by']}"]


def ancestors(manifest, node: str) -> set[str]:
    """Return all ancestors of a node, including itself."""
    found, todo = set(), [node]
    while todo:
        if (name := todo.pop()) not in found:
            found.add(name)
            todo += manifest["parent_map"].get(name, [])
    return found


def test_every_table_of_the_state_is_a_source_that_one_model_writes_and_never_changes(manifest, sources):
    assert set(sources) == set(STATE_TABLES)
    for name, source in sources.items():
        model = writer(manifest, source)
        assert model["relation_name"] == source["relation_name"]
        facts = ("materialized", "incremental_strategy", "full_refresh", "on_schema_change")
        assert [model["config"][fact] for fact in facts] == ["incremental", "append", False, "fail"], name
        assert model["description"] == source["description"]
        assert list(model["columns"]) == list(source["columns"])
    written = {
        node["name"]
        for node in manifest["nodes"].values()
        if node.get("database") == "state" and node["resource_type"] == "model"
    }
    assert written == {source["config"]["meta"]["written_by"] for source in sources.values()}


def test_readers_of_a_state_table_run_before_the_model_that_writes_it(manifest, sources):
    for name, source in sources.items():
        before = ancestors(manifest, writer(manifest, source)["unique_id"])
        readers = {child for child in manifest["child_map"][source["unique_id"]] if child.startswith("model.")}
        assert readers <= before, name


def test_the_plan_depends_on_every_state_table_that_a_model_reads(manifest, sources):
    after = set(manifest["parent_map"]["exposure.zl_forecast.next_plan"])
    read_by = {name: manifest["child_map"][source["unique_id"]] for name, source in sources.items()}
    assert after == {writer(manifest, sources[name])["unique_id"] for name, readers in read_by.items() if readers}
    assert {name for name, readers in read_by.items() if not readers} == {
        "monitoring.promotions"
    }  # only people read it


def test_state_tables_have_the_same_key_in_data_tests_and_in_migrations(manifest, sources):
    keys = {
        node["attached_node"].rsplit(".", 1)[-1]: tuple(node["test_metadata"]["kwargs"]["columns"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test"
        and node.get("test_metadata", {}).get("name") == "unique_key"
        and node["attached_node"]
    }
    assert {name: keys[name.split(".")[1]] for name in STATE_TABLES} == STATE_TABLES


def test_the_tables_have_the_columns_and_types_that_the_models_declare(sample_features, manifest, sources):
    with open_warehouse("", sample_features.warehouse) as con:
        for name, source in sources.items():
            own = {column: dtype for column, dtype, *_ in con.execute(f"describe state.{name}").fetchall()}
            expected = {
                column: facts["data_type"].upper() for column, facts in writer(manifest, source)["columns"].items()
            }
            assert own == expected, name


def test_an_older_warehouse_without_a_state_database_is_readable(tmp_path):
    file = tmp_path / "warehouse.duckdb"
    with duckdb.connect(str(file)) as con:
        con.execute("create schema monitoring; create table monitoring.degradations as select 'crush' as bucket")
    with (
        open_warehouse("", file) as con,
        open_warehouse("", file) as second,
    ):  # connections of one process share attached databases
        for each in (con, second):
            assert each.execute("select bucket from state.monitoring.degradations").fetchall() == [("crush",)]
    assert not state_beside(file).exists()


def connect(path, **config) -> duckdb.DuckDBPyConnection:
    """Connect to a warehouse as dbt-duckdb does."""
    plugin = Plugin("state", {"file": str(state_beside(path)), **config})
    plugin.update_connection_config(SimpleNamespace(path=str(path)), {})
    con = duckdb.connect(str(path))
    plugin.configure_connection(con)
    return con


@pytest.mark.parametrize("has_warehouse", [True, False])
def test_a_tournament_reads_the_state_and_does_not_change_it(tmp_path, has_warehouse):
    real, own = tmp_path / "warehouse.duckdb", tmp_path / "tournament" / "warehouse.duckdb"
    with connect(real) as con:
        con.execute("insert into state.monitoring.run_history by name select 'crush' as bucket")
    if not has_warehouse:
        real.unlink()
    for _ in range(2):
        with connect(own, copied_from=str(state_beside(real))) as con:
            assert con.execute("select bucket from state.monitoring.run_history").fetchall() == [("crush",)]
            con.execute("insert into state.monitoring.run_history by name select 'fx' as bucket")
    assert real.exists() == has_warehouse
    with connect(real) as con:
        assert con.execute("select bucket from state.monitoring.run_history").fetchall() == [("crush",)]


def test_a_tournament_reads_the_state_of_an_older_version(tmp_path):
    real, own = tmp_path / "warehouse.duckdb", tmp_path / "tournament" / "warehouse.duckdb"
    with duckdb.connect(str(real)) as con:
        con.execute(
            "create schema monitoring; create table monitoring.run_history as select 'crush' as bucket, null::varchar as trigger"
        )
        con.execute("alter table monitoring.run_history add column live_from date")
        con.execute("alter table monitoring.run_history add column as_of_date date")
        con.execute("alter table monitoring.run_history add column data_source varchar")
    with connect(own, copied_from=str(state_beside(real))) as con:
        assert con.execute("select bucket from state.monitoring.run_history").fetchall() == [("crush",)]


def test_a_tournament_during_a_build_is_refused_with_the_builds_process(tmp_path):
    real, own = tmp_path / "warehouse.duckdb", tmp_path / "tournament" / "warehouse.duckdb"
    connect(real).close()
    builder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import duckdb; con = duckdb.connect({str(state_beside(real))!r}); print(flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    builder.stdout.readline()
    with pytest.raises(DbtRuntimeError, match=rf"state\.duckdb is in use: .*process {builder.pid}"):
        connect(own, copied_from=str(state_beside(real)))
    builder.communicate(b"\n")


def test_without_its_warehouse_a_folder_with_a_real_market_does_not_fall_back_to_the_simulated_one(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    warehouse = tmp_path / "warehouse.duckdb"
    with connect(warehouse) as con:
        con.execute("insert into state.forecasts.zl_forecast_ledger by name select 'market' as data_source")
    warehouse.unlink()
    with connect(warehouse) as con:
        landing = LandingPlugin("landing", {})
        landing.configure_connection(con)
        with pytest.raises(LandingError, match="holds forecasts of a real market"):
            landing.load(SimpleNamespace(identifier="bars_daily"))

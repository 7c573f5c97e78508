"""The files of the Superset dashboard fit each other and the published tables; Superset itself is not needed."""

import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import duckdb
import psycopg
import pytest
import yaml
from conftest import PROJECT

from tests.python.test_bi import PUBLISHED, empty_snapshot  # noqa: F401
from zl_forecast.postgres import publish_to_postgres

FOLDER = PROJECT / "examples" / "superset"


def _read(folder: str) -> dict[str, dict]:
    """Content by file name of a kind of assets."""
    return {
        path.stem: yaml.safe_load(path.read_text()) for path in sorted((FOLDER / "assets" / folder).rglob("*.yaml"))
    }


CHARTS, DATASETS = _read("charts"), _read("datasets")
(DATABASE,), (DASHBOARD,) = _read("databases").values(), _read("dashboards").values()
DATASET_OF = {dataset["uuid"]: dataset for dataset in DATASETS.values()}


def _relation(dataset: dict) -> str:
    return f"({dataset['sql']}) as own" if dataset.get("sql") else f"{dataset['schema']}.{dataset['table_name']}"


def _queries() -> list[str]:
    """Return a query for every dataset, with all its columns, and for every metric and filter in SQL."""
    queries = []
    for dataset in DATASETS.values():
        columns = ", ".join(column.get("expression") or column["column_name"] for column in dataset["columns"])
        queries.append(f"select {columns} from {_relation(dataset)}")
        queries += [f"select {metric['expression']} from {_relation(dataset)}" for metric in dataset["metrics"]]
    for chart in CHARTS.values():
        relation = _relation(DATASET_OF[chart["dataset_uuid"]])
        for item in chart["params"].get("adhoc_filters", []):
            if item["expressionType"] == "SQL":
                queries.append(f"select * from {relation} where {item['sqlExpression']}")
    return queries


def test_every_uuid_occurs_once():
    assets = [DATABASE, DASHBOARD, *CHARTS.values(), *DATASETS.values()]
    assert max(Counter(asset["uuid"] for asset in assets).values()) == 1


def test_every_asset_refers_to_one_that_exists():
    assert {dataset["database_uuid"] for dataset in DATASETS.values()} == {DATABASE["uuid"]}
    assert {chart["dataset_uuid"] for chart in CHARTS.values()} <= set(DATASET_OF)


@pytest.mark.parametrize("name", [name for name, dataset in DATASETS.items() if not dataset.get("sql")])
def test_columns_of_a_dataset_are_those_of_the_published_table(name):
    dataset = DATASETS[name]
    columns = {column["column_name"] for column in dataset["columns"] if not column.get("expression")}
    assert columns <= set(PUBLISHED[f"{dataset['schema']}.{dataset['table_name']}"])


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_shows_columns_and_metrics_of_its_dataset(name):
    params = CHARTS[name]["params"]
    dataset = DATASET_OF[CHARTS[name]["dataset_uuid"]]
    columns = {column["column_name"] for column in dataset["columns"]}
    metrics = {metric["metric_name"] for metric in dataset["metrics"]}
    shown = params.get("groupby", [])
    shown = [shown] if isinstance(shown, str) else [*shown]
    shown += params.get("all_columns", []) + [params[key] for key in ("x_axis",) if key in params]
    shown += [json.loads(order)[0] for order in params.get("order_by_cols", [])]
    shown += [item["subject"] for item in params.get("adhoc_filters", []) if item["expressionType"] == "SIMPLE"]
    assert shown
    assert set(shown) <= columns
    assert {*params.get("metrics", []), *([params["metric"]] if "metric" in params else [])} <= metrics
    formatted = {
        *params.get("column_config", {}),
        *(rule["column"] for rule in params.get("conditional_formatting", [])),
    }
    assert formatted <= set(shown) | metrics
    assert params["viz_type"] == CHARTS[name]["viz_type"]


def test_the_dashboard_shows_every_chart_once_in_rows_of_twelve_columns():
    position = {key: item for key, item in DASHBOARD["position"].items() if isinstance(item, dict)}
    charts = [item for item in position.values() if item["type"] == "CHART"]
    assert sorted(item["meta"]["uuid"] for item in charts) == sorted(chart["uuid"] for chart in CHARTS.values())
    assert len({item["meta"]["chartId"] for item in charts}) == len(charts)
    for key, item in position.items():
        assert item["id"] == key
        for child in item.get("children", []):
            assert position[child]["parents"] == [*item.get("parents", []), key]
        if item["type"] == "ROW":
            assert sum(position[child]["meta"]["width"] for child in item["children"]) == 12


def test_the_filters_reach_exactly_the_charts_that_have_their_column():
    charts = {
        item["meta"]["chartId"]: DATASET_OF[chart["dataset_uuid"]]
        for item in DASHBOARD["position"].values()
        if isinstance(item, dict) and item["type"] == "CHART"
        for chart in CHARTS.values()
        if chart["uuid"] == item["meta"]["uuid"]
    }
    for item in DASHBOARD["metadata"]["native_filter_configuration"]:
        (target,) = item["targets"]
        column = target["column"]["name"]
        assert column in {own["column_name"] for own in DATASET_OF[target["datasetUuid"]]["columns"]}
        reached = set(charts) - set(item["scope"]["excluded"])
        assert set(item["scope"]["excluded"]) < set(charts)
        for chart in reached:
            assert column in {own["column_name"] for own in charts[chart]["columns"]}


def test_all_sql_runs_in_duckdb(empty_snapshot):  # noqa: F811
    with duckdb.connect(str(empty_snapshot / "serving.duckdb"), read_only=True) as con:
        for query in _queries():
            con.sql(query).fetchall()


def test_all_sql_runs_in_postgresql(empty_snapshot, server):  # noqa: F811
    owner = f"postgresql://zl@127.0.0.1:{server.port}"
    with psycopg.connect(f"{owner}/postgres", autocommit=True) as con:
        con.execute("create database superset")
    publish_to_postgres(empty_snapshot, f"{owner}/superset")
    with psycopg.connect(f"{owner}/superset") as con:
        for query in _queries():
            con.execute(query)


def _start(data: Path, **settings: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "ZL_DATA_DIR": str(data), **settings}
    return subprocess.run(
        [sys.executable, FOLDER / "start.py"], env=environment, capture_output=True, text=True, timeout=60
    )


def test_without_a_snapshot_it_says_what_to_do(tmp_path):
    done = _start(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("There is no snapshot yet: ")
    assert "Run `make build` first." in done.stderr
    assert not (tmp_path / "superset").exists()


@pytest.mark.parametrize("port", ["abc", "0", "70000", "-1"])
def test_what_is_no_port_is_named_with_the_remedy(tmp_path, port):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "serving.duckdb").touch()
    done = _start(tmp_path, PORT=port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"PORT={port} is no port. Choose a number")


def test_a_port_in_use_is_named_with_the_remedy(tmp_path):
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "serving.duckdb").touch()
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = _start(tmp_path, PORT=str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "is in use, perhaps by another Superset. Choose one: make superset PORT=" in done.stderr
    assert not (tmp_path / "superset").exists()

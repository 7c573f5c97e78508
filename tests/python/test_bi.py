"""docs/bi.md names every published table with its key and columns, and its queries run on the contracts."""

import json
import re
from pathlib import Path

import duckdb
import psycopg
import pytest
import yaml

from zl_forecast.postgres import publish_to_postgres

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "bi.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, flags=re.DOTALL)


def _published() -> dict[str, dict[str, str]]:
    """Type by column, by 'schema.table', of all published tables, from their contracts."""
    tables = {}
    for schema in ("forecasts", "monitoring"):
        for layer in ("marts", "state"):
            for file in sorted((PROJECT / "models" / layer / schema).glob("*.yml")):
                for model in yaml.safe_load(file.read_text()).get("models", []):
                    if model.get("config", {}).get("meta", {}).get("published", True):
                        columns = {column["name"]: column.get("data_type", "varchar") for column in model["columns"]}
                        tables[f"{schema}.{model['name']}"] = columns
    return tables


PUBLISHED = _published()


def _rows(schema: str) -> dict[str, list[str]]:
    """Cells by table of the page's list of a schema."""
    section = PAGE.split(f"## Schema `{schema}`")[1].split("\n\n### ")[0].split("\n## ")[0]
    rows = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in rows}


@pytest.mark.parametrize("schema", ["forecasts", "monitoring"])
def test_every_published_table_is_on_the_page_with_a_key_of_its_columns(schema):
    published = {name.split(".")[1]: columns for name, columns in PUBLISHED.items() if name.startswith(f"{schema}.")}
    rows = _rows(schema)
    assert set(rows) == set(published)
    for table, (_, key, _) in rows.items():
        assert key == "none" or set(key.split(", ")) <= set(published[table]), table


def test_columns_listed_on_the_page_are_those_of_the_contracts():
    listed = re.findall(r"^`(\w+)`: `([^`]+)`", PAGE, flags=re.MULTILINE)
    assert len(listed) >= 9
    for table, columns in listed:
        assert re.split(r",\s+", columns) == list(PUBLISHED[f"forecasts.{table}"]), table


@pytest.fixture
def empty_snapshot(tmp_path) -> Path:
    """A snapshot of all published tables with the types of their contracts, without rows."""
    facts = []
    with duckdb.connect(str(tmp_path / "serving.duckdb")) as con:
        for name, columns in PUBLISHED.items():
            schema, table = name.split(".")
            con.execute(f"create schema if not exists {schema}")
            con.execute(f"create table {name} ({', '.join(f'{column} {kind}' for column, kind in columns.items())})")
            facts.append(
                {"table_schema": schema, "table_name": table, "n_rows": 0, "content_hash": "", "snapshot_id": ""}
            )
    (tmp_path / "manifest.json").write_text(json.dumps({"tables": facts}))
    return tmp_path


def test_queries_of_the_page_run(empty_snapshot):
    assert len(QUERIES) == 3
    with duckdb.connect(str(empty_snapshot / "serving.duckdb"), read_only=True) as con:
        for query in QUERIES:
            assert con.sql(query).fetchall() == []


def test_queries_of_the_page_run_in_postgresql(empty_snapshot, server):
    owner = f"postgresql://zl@127.0.0.1:{server.port}"
    with psycopg.connect(f"{owner}/postgres", autocommit=True) as con:
        con.execute("create database queries")
    publish_to_postgres(empty_snapshot, f"{owner}/queries")
    with psycopg.connect(f"{owner}/queries") as con:
        for query in QUERIES:
            assert con.execute(query).fetchall() == []

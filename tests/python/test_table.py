"""The materialization `table`: a new table takes the old one's place, or the old one stays."""

import json
import shutil

import duckdb
from conftest import PROJECT

FILES = {
    "dbt_project.yml": "{name: tiny, version: '1.0', profile: tiny, flags: {send_anonymous_usage_stats: false}}",
    "profiles/profiles.yml": "tiny: {target: dev, outputs: {dev: {type: duckdb, path: tiny.duckdb}}}",
    "models/query.sql": "{{ config(materialized='table') }} select if({{ var('value') }} < 0, error('broken'), {{ var('value') }}) as x",
    "models/contracted.sql": "select nullif({{ var('value') }}, -1) as x",
    "models/frame.py": "def model(dbt, session):\n    value = dbt.config.get('value')\n    return session.sql(f'select {value} / {value + 1} as x, error(x) as y' if value < 0 else f'select {value} as x')\n",
    "models/former_view.sql": "{{ config(materialized=var('kind')) }} select {{ var('value') }} as x",
    "models/models.yml": """
models:
  - name: contracted
    config: {materialized: table, contract: {enforced: true}}
    columns: [{name: x, data_type: integer, constraints: [{type: not_null}]}]
  - {name: frame, config: {materialized: table, value: "{{ var('value') }}"}}
""",
}


def test_a_table_is_replaced_as_a_whole_or_stays(run_dbt, tmp_path):
    project, data_dir = tmp_path / "project", tmp_path / "data"
    for name, text in FILES.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    (project / "macros").mkdir()
    shutil.copy(PROJECT / "macros" / "table.sql", project / "macros")

    def build(value: int, kind: str, **more):
        variables = json.dumps({"value": value, "kind": kind})
        return run_dbt(("run", "--vars", variables), landing=None, data_dir=data_dir, project=project, **more)

    def tables() -> dict[str, int]:
        with duckdb.connect(str(data_dir / "tiny.duckdb")) as con:
            return {
                name: con.sql(f'select x from "{name}"').fetchone()[0] for (name,) in con.sql("show tables").fetchall()
            }

    build(1, "view")
    with duckdb.connect(str(data_dir / "tiny.duckdb")) as con:
        con.sql("create table frame__dbt_tmp as select 0 as x")  # left by a killed build
    build(2, "table")
    assert tables() == {"contracted": 2, "former_view": 2, "frame": 2, "query": 2}
    failed = build(-1, "table", expect_failure=True)
    assert failed.status == {
        "contracted": "error", "former_view": "success", "frame": "error", "query": "error"
    }  # fmt: skip
    assert tables() == {"contracted": 2, "former_view": -1, "frame": 2, "query": 2}

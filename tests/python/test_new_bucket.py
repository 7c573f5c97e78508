"""A ninth bucket, added to a copy of the project with only the files that the README names."""

import json
import shutil

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import BUCKETS, PROJECT, query

from zl_forecast import cli
from zl_forecast.sample import simulate, write_landing

MART = """
-- Toy bucket: corn.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

features as (
    select
        as_of_date,
        zc_log_return as cbot_zc_change_1,
        {{ momentum('zc', 21) }} as cbot_zc_momentum_21,
        latest_bar_on as latest_input_on
    from prices
),

{{ bucket_mart() }}
"""
SPECIALIST = (
    (PROJECT / "python_models/intermediate/tournament/specialists/specialist_crush.py")
    .read_text()
    .replace("crush", "toy")
)
FEATURES = ["cbot_zc_change_1", "cbot_zc_momentum_21"]


def suite() -> dict:
    """Adapt another bucket's suite to the toy's features."""
    copied = json.loads((PROJECT / "expectations/mart_fed__daily.json").read_text())
    schema, *others = copied["expectations"]
    columns = schema["kwargs"]["column_set"]
    common = [name for name in columns if name.startswith(("as_of", "base_", "latest_", "gate_"))]
    schema["kwargs"]["column_set"] = common + FEATURES
    kept = [own for own in others if own["kwargs"].get("column") in common]
    ranges = [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": name, "min_value": -25, "max_value": 25},
            "severity": "critical",
        }
        for name in FEATURES
    ]
    return {"name": "mart_toy__daily", "expectations": [schema, *kept, *ranges]}


def add_bucket(project) -> None:
    """Add mart with yml, suite, seed row, specialist and the name in vars; build no other bucket, to save time."""
    marts = project / "models/marts/buckets"
    (marts / "mart_toy__daily.sql").write_text(MART)
    (marts / "mart_toy__daily.yml").write_text("models: [{name: mart_toy__daily, description: Corn.}]\n")
    (project / "expectations/mart_toy__daily.json").write_text(json.dumps(suite()))
    with (project / "seeds/buckets.csv").open("a") as seed:
        seed.write("toy,Corn,made for a test,ridge,cbot_zc_momentum_21,ZC,\n")
    (project / "python_models/intermediate/tournament/specialists/specialist_toy.py").write_text(SPECIALIST)
    with (project / "python_models/intermediate/tournament/specialists/_specialists__models.yml").open("a") as models:
        models.write("  - {<<: *specialist, name: specialist_toy}\n")
    settings = project / "dbt_project.yml"
    text = settings.read_text()
    listed = f"buckets: [{', '.join(BUCKETS)}]"
    assert listed in text
    settings.write_text(text.replace(listed, "buckets: [toy]"))


@pytest.fixture(scope="module")
def built(run_dbt, project_copy, tmp_path_factory):
    """Build everything up to the published snapshot, on one past fold and the live one."""
    landing = tmp_path_factory.mktemp("landing") / "planted"
    write_landing(simulate("planted", start="2017-01-02", end="2021-01-29"), landing)
    project = tmp_path_factory.mktemp("with_toy") / "project"
    shutil.copytree(project_copy, project)
    add_bucket(project)
    command = (
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--exclude-resource-type",
        "test",
        "--select",
        "+published_snapshot",
        "+specialist_fed",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        yield run_dbt(command, landing=landing, data_dir=tmp_path_factory.mktemp("toy"), project=project)


def test_its_forecasts_are_in_the_tournament_and_among_the_inputs_of_the_ensemble(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        forecasts = con.sql("from tournament.int_tournament__forecasts where bucket = 'toy'").df()
        inputs = con.sql("from tournament.int_ensemble__inputs where input = 'toy'").df()
    assert set(forecasts["family"]) == {"reference", "lightgbm", "ridge", "consensus"}
    assert set(forecasts["fold_type"]) == {"oof", "live"}
    assert set(forecasts["status"]) == {"ok"}
    assert set(inputs["fold_type"]) == {"oof", "live"}
    assert set(inputs["members"]) == {"lightgbm"}


def test_gate_plan_health_and_forecast_include_it(built):
    serving = built.data_dir / "serving"
    results = query(serving, "from monitoring.gx_results")
    assert set(results["bucket"]) == {"zl", "toy"}
    assert set(results.loc[results["bucket"] == "toy", "bucket_status"]) == {"passed"}
    for table, column in (("run_plan", "bucket"), ("leaderboard", "bucket"), ("model_health", "subject")):
        assert "toy" in set(query(serving, f"from monitoring.{table}")[column])
    assert set(query(serving, "from forecasts.zl_forecast")["buckets_offered"]) == {"toy"}


def test_the_specialist_of_an_excluded_bucket_is_empty(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        assert con.sql("select count(*) from tournament.specialist_fed").fetchone() == (0,)


def test_page_and_commands_include_it_and_count_the_buckets(built, monkeypatch, capsys):
    monkeypatch.setenv("ZL_DATA_DIR", str(built.data_dir))
    page = (built.data_dir / "serving" / "report.html").read_text()
    assert '<th scope="col">toy</th>' in page
    said = f"Only 1 of {len(BUCKETS)} buckets took part: toy."  # the control is no input, the toy is one
    assert said in page
    for command, text in (
        (["summary"], said),
        (["health"], "toy"),
        (["leaderboard", "toy"], "ridge"),
        (["plan"], "toy"),
    ):
        assert cli.main(command) == 0
        assert text in capsys.readouterr().out


def test_every_published_table_and_column_has_a_comment_in_duckdb_and_in_parquet(built):
    serving = built.data_dir / "serving"
    described = query(serving, "select schema_name, table_name, comment from duckdb_tables()")
    columns = query(serving, "select table_name, column_name, comment from duckdb_columns() where not internal")
    assert len(described) > 30
    assert len(columns) > 500
    assert described.loc[described["comment"].isna(), "table_name"].tolist() == []
    assert columns[columns["comment"].isna()].to_dict("records") == []
    files = {file: pq.read_schema(file) for file in (serving / "parquet").glob("*.parquet")}
    assert len(files) == len(described)
    assert [file.name for file, schema in files.items() if b"description" not in (schema.metadata or {})] == []
    fields = [(file.name, field) for file, schema in files.items() for field in schema]
    assert [(name, field.name) for name, field in fields if b"description" not in (field.metadata or {})] == []


def test_its_gate_and_its_tournament_depend_on_their_inputs(built):
    parents = {name: set(nodes) for name, nodes in built.manifest["parent_map"].items()}
    assert "model.zl_forecast.mart_toy__daily" in parents["model.zl_forecast.int_gate__results"]
    read = ("model.zl_forecast.mart_toy__daily", "model.zl_forecast.int_targets__daily", "model.zl_forecast.int_volatility__zl",
            "model.zl_forecast.run_plan", "seed.zl_forecast.buckets", "seed.zl_forecast.families")  # fmt: skip
    assert parents["model.zl_forecast.specialist_toy"] == set(read)


def test_every_bucket_of_the_seed_is_listed_and_has_its_mart_suite_and_specialist():
    listed = pd.read_csv(PROJECT / "seeds/buckets.csv")["bucket"]
    assert f"buckets: [{', '.join(listed)}]" in (PROJECT / "dbt_project.yml").read_text()
    for pattern in (
        "models/marts/buckets/mart_{}__daily.sql",
        "expectations/mart_{}__daily.json",
        "python_models/intermediate/tournament/specialists/specialist_{}.py",
    ):
        before, _, after = pattern.partition("{}")
        found = PROJECT.glob(pattern.format("*"))
        names = {str(path.relative_to(PROJECT)).removeprefix(before).removesuffix(after) for path in found}
        assert names == set(listed)

"""The bucket and the source of examples/palm, added to a copy of the project by the commands of docs/extending.md."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import BUCKETS, PROJECT, follow_documentation, query

from zl_forecast import cli
from zl_forecast.sample import simulate, write_landing

FEATURES = {"bursa_fcpo_momentum_5", "bursa_fcpo_momentum_21", "bursa_fcpo_zl_ratio_zscore_126"}


def add_bucket(project: Path) -> str:
    """Add it to a copy of the project with landing files; return what the commands print."""
    days = pd.bdate_range("2017-01-02", "2021-01-29", name="Date")
    steps = np.random.default_rng(1).normal(0, 0.015, len(days))
    vendor = pd.DataFrame({"Settlement": 3000 * np.exp(steps.cumsum())}, index=days)
    vendor.to_csv(project / "vendor.csv")
    return follow_documentation("cp -r examples/palm", project)


@pytest.fixture(scope="module")
def built(run_dbt, project_copy, tmp_path_factory):
    """Build everything up to the published snapshot, on one past fold and the live one; no other bucket, to save time."""
    project = tmp_path_factory.mktemp("with_palm") / "project"
    shutil.copytree(project_copy, project)
    landing = project / "data/landing"
    write_landing(simulate("planted", start="2017-01-02", end="2021-01-29"), landing)
    printed = add_bucket(project)
    assert "series_palm_oil.csv" in printed
    assert "BURSA_FCPO" not in printed  # no finding says that nothing reads it
    settings = project / "dbt_project.yml"
    text = settings.read_text()
    listed = f"buckets: [{', '.join(BUCKETS)}, palm]"
    assert listed in text
    settings.write_text(text.replace(listed, "buckets: [palm]"))
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
        yield run_dbt(command, landing=landing, data_dir=tmp_path_factory.mktemp("palm"), project=project)


def test_its_features_are_those_of_the_new_series(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        mart = con.sql("from features.mart_palm__daily").df()
    assert set(mart) >= FEATURES
    assert mart[list(FEATURES)].iloc[-250:].notna().all(axis=None)


def test_its_forecasts_are_in_the_tournament_and_among_the_inputs_of_the_ensemble(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        forecasts = con.sql("from tournament.int_tournament__forecasts where bucket = 'palm'").df()
        inputs = con.sql("from tournament.int_ensemble__inputs where input = 'palm'").df()
    assert set(forecasts["family"]) == {"reference", "lightgbm", "ridge", "catboost", "consensus"}
    assert set(forecasts["fold_type"]) == {"oof", "live"}
    assert set(forecasts["status"]) == {"ok"}
    assert set(inputs["fold_type"]) == {"oof", "live"}
    assert set(inputs["members"]) == {"catboost lightgbm"}


def test_gate_plan_health_and_forecast_include_it(built):
    serving = built.data_dir / "serving"
    results = query(serving, "from monitoring.gx_results")
    assert set(results["bucket"]) == {"zl", "palm"}
    assert set(results.loc[results["bucket"] == "palm", "bucket_status"]) == {"passed"}
    for table, column in (("run_plan", "bucket"), ("leaderboard", "bucket"), ("model_health", "subject")):
        assert "palm" in set(query(serving, f"from monitoring.{table}")[column])
    assert set(query(serving, "from forecasts.zl_forecast")["buckets_offered"]) == {"palm"}


def test_the_specialist_of_an_excluded_bucket_is_empty(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        assert con.sql("select count(*) from tournament.specialist_fed").fetchone() == (0,)


def test_page_and_commands_include_it_and_count_the_buckets(built, monkeypatch, capsys):
    monkeypatch.setenv("ZL_DATA_DIR", str(built.data_dir))
    page = (built.data_dir / "serving" / "report.html").read_text()
    assert '<th scope="col">palm</th>' in page
    said = f"Only 1 of {len(BUCKETS)} buckets took part: palm."  # the control is no input, palm is one
    assert said in page
    for command, text in (
        (["summary"], said),
        (["health", "palm", "--all"], "palm"),
        (["leaderboard", "palm"], "ridge"),
        (["plan"], "palm"),
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
    assert "model.zl_forecast.mart_palm__daily" in parents["model.zl_forecast.int_gate__results"]
    read = ("model.zl_forecast.mart_palm__daily", "model.zl_forecast.int_targets__daily", "model.zl_forecast.int_volatility__zl",
            "model.zl_forecast.run_plan", "seed.zl_forecast.buckets", "seed.zl_forecast.families")  # fmt: skip
    assert parents["model.zl_forecast.specialist_palm"] == set(read)


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

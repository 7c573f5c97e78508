"""Metrics of models/marts/forecasts/_semantic_models.yml, queried with dbt-metricflow, against the tables."""

import os
import re
import shlex
import shutil
from pathlib import Path

import duckdb
import forked
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import read

PROJECT = Path(__file__).parents[2]
FORECASTS = PROJECT / "models" / "marts" / "forecasts"
METRICS = [m["name"] for m in yaml.safe_load((FORECASTS / "_semantic_models.yml").read_text())["metrics"]]
TOLERANCE = {"rtol": 0, "atol": 1e-9, "check_dtype": False}


class MetricFlow:
    """The command `mf` on the warehouse of a data folder.

    Parameters
    ----------
    folder : Path
        Empty folder for dbt's project file and the semantic manifest: mf reads them in the folder where it runs.
    manifest : Path
        semantic_manifest.json of `dbt parse` or `dbt build`.
    data_dir : Path
        ZL_DATA_DIR.
    """

    def __init__(self, folder: Path, manifest: Path, data_dir: Path):
        self.folder, self.data_dir = folder, data_dir
        (folder / "target").mkdir(parents=True)
        shutil.copy(manifest, folder / "target")
        shutil.copy(PROJECT / "dbt_project.yml", folder)

    def run(self, *arguments: str) -> str:
        """Run mf; it must succeed."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("ZL_", "DBT_"))}
        environment |= {"ZL_DATA_DIR": str(self.data_dir), "DBT_PROFILES_DIR": str(PROJECT / "profiles")}
        environment["HTTPS_PROXY"] = "http://127.0.0.1:9"  # mf looks for a newer version of itself: nothing answers
        output = self.folder / "output.txt"
        exit_code = forked.run(["mf", *arguments], self.folder, environment, output, timeout=300)
        assert exit_code == 0, output.read_text()
        return output.read_text()

    def query(self, *metrics: str, group_by: str, **options: str) -> pd.DataFrame:
        """Query metrics, or only dimensions if no metric is named; rows are in the order of `group_by`."""
        arguments = [f"--{name}={value}" for name, value in options.items()]
        if metrics:
            arguments.append(f"--metrics={','.join(metrics)}")
        answer = self.folder / "answer.csv"
        self.run("query", f"--group-by={group_by}", f"--order={group_by}", f"--csv={answer}", *arguments)
        return pd.read_csv(answer)


# ---------- made-up tables, which have matured forecasts in the ledger


def _history(rng: np.random.Generator) -> pd.DataFrame:
    """Forecasts at two horizons over 15 months; the outcomes of the last ones are not known yet."""
    days = pd.bdate_range("2023-01-02", "2024-03-29")
    rows = pd.DataFrame({"as_of_date": np.repeat(days, 2), "horizon_days": np.tile([5, 120], len(days))})
    rows["target_date"] = rows["as_of_date"] + pd.to_timedelta(rows["horizon_days"] * 1.4, unit="D").dt.round("D")
    rows["horizon_code"] = rows["horizon_days"].map({5: "1w", 120: "6m"})
    rows["p50"] = rng.normal(40, 5, len(rows))
    rows["realised_price"] = rows["p50"] + rng.normal(0.3, 3, len(rows))
    rows["error_cents"] = rows["realised_price"] - rows["p50"]
    for name in ("pinball_pct", "reference_pinball_pct", "pinball_cents", "reference_pinball_cents"):
        rows[name] = rng.gamma(2, 1, len(rows)) * rows["horizon_days"]
    rows["is_inside_80"] = rng.random(len(rows)) < 0.75
    rows["is_inside_90"] = rows["is_inside_80"] | (rng.random(len(rows)) < 0.5)
    outcomes = ["realised_price", "error_cents", *[c for c in rows if "pinball" in c or "inside" in c]]
    rows = rows.astype({"is_inside_80": "boolean", "is_inside_90": "boolean"})
    rows.loc[rows["target_date"] > days[-1], outcomes] = pd.NA
    return rows.assign(ensemble_method="average", verdict="skill", data_source="simulated")


@pytest.fixture(scope="module")
def history() -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(17)
    backtest, accuracy = _history(rng), _history(rng)
    return {"zl_backtest": backtest, "zl_forecast_accuracy": accuracy[accuracy["realised_price"].notna()]}


@pytest.fixture(scope="module")
def made_up(run_dbt, history, tmp_path_factory) -> MetricFlow:
    """MetricFlow on tables with the types of the contracts."""
    data_dir = tmp_path_factory.mktemp("metrics")
    run_dbt(("parse",), landing=None, data_dir=data_dir)
    dates = pd.DataFrame({"date": pd.date_range("2022-01-01", "2025-12-31")})
    horizons = pd.DataFrame({"horizon_days": [5, 120], "horizon_code": ["1w", "6m"], "position": [1, 4]})
    rows_by_table = {**history, "dim_date": dates, "dim_horizon": horizons.assign(label=["1 week", "6 months"])}
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
        con.execute("create schema forecasts")
        for table, rows in rows_by_table.items():
            columns = yaml.safe_load((FORECASTS / f"{table}.yml").read_text())["models"][0]["columns"]
            types = {column["name"]: column["data_type"] for column in columns}
            con.execute(f"create table forecasts.{table} ({', '.join(f'{name} {types[name]}' for name in types)})")
            con.register("rows", rows[[name for name in types if name in rows]])
            con.execute(f"insert into forecasts.{table} by name from rows")
    return MetricFlow(data_dir / "project", data_dir / "target" / "semantic_manifest.json", data_dir)


def _expected(rows: pd.DataFrame, unit: str) -> dict[str, float]:
    """Compute every metric of one slice by hand; the loss behind its skill is in this unit."""
    loss, reference_loss, error = rows[f"pinball_{unit}"], rows[f"reference_pinball_{unit}"], rows["error_cents"]
    return {
        "n_forecasts": len(rows),
        f"sum_loss_{unit}": loss.sum(),
        f"sum_reference_loss_{unit}": reference_loss.sum(),
        "sum_loss_cents": rows["pinball_cents"].sum(),
        "n_inside_80": rows["is_inside_80"].sum(),
        "n_inside_90": rows["is_inside_90"].sum(),
        "sum_error": error.sum(),
        "sum_absolute_error": error.abs().sum(),
        "pinball_skill": 1 - loss.mean() / reference_loss.mean(),
        "coverage_80": rows["is_inside_80"].mean(),
        "coverage_90": rows["is_inside_90"].mean(),
        "mean_loss_cents": rows["pinball_cents"].mean(),
        "mean_error": error.mean(),
        "mean_absolute_error": error.abs().mean(),
    }


@pytest.mark.parametrize(
    ("prefix", "table", "unit"), [("backtest", "zl_backtest", "pct"), ("accuracy", "zl_forecast_accuracy", "cents")]
)
def test_every_metric_equals_its_definition_by_horizon_and_quarter(made_up, history, prefix, table, unit):
    known = history[table].dropna(subset="realised_price")
    quarter = known["as_of_date"].dt.to_period("Q").dt.start_time
    expected = pd.DataFrame(
        {"horizon__horizon_code": code, "metric_time__quarter": str(day.date())}
        | {f"{prefix}_{name}": value for name, value in _expected(part, unit).items()}
        for (code, day), part in known.groupby(["horizon_code", quarter])
    )
    names = [name for name in METRICS if name.startswith(f"{prefix}_")]
    found = made_up.query(*names, group_by="horizon__horizon_code,metric_time__quarter")
    found["metric_time__quarter"] = found["metric_time__quarter"].str[:10]
    found = found[found[f"{prefix}_n_forecasts"] > 0].reset_index(
        drop=True
    )  # quarters without an outcome have no value
    assert len(found) > 6
    pd.testing.assert_frame_equal(found[sorted(found)], expected[sorted(expected)], **TOLERANCE)


def test_metrics_can_be_filtered_and_grouped_by_target_date(made_up, history):
    rows = history["zl_backtest"]
    expected = rows[(rows["target_date"] >= "2023-06-01") & (rows["horizon_days"] == 5)]
    found = made_up.query(
        "backtest_mean_error",
        group_by="backtest_forecast__target_date__year",
        where="{{ TimeDimension('backtest_forecast__target_date', 'day') }} >= '2023-06-01' "
        "and {{ Dimension('horizon__label') }} = '1 week'",
    )
    by_year = expected["error_cents"].groupby(expected["target_date"].dt.year).mean()
    np.testing.assert_allclose(found["backtest_mean_error"].dropna(), by_year.dropna(), rtol=0, atol=1e-9)


def test_the_time_spine_has_every_day_of_dim_date(made_up):
    days = made_up.query(group_by="metric_time__day")["metric_time__day"]
    assert days.str[:10].tolist() == [str(day.date()) for day in pd.date_range("2022-01-01", "2025-12-31")]


def test_the_commands_in_the_documentation_run(made_up):
    commands = re.findall(r"^mf (query .*)$", (PROJECT / "docs" / "bi.md").read_text(), flags=re.MULTILINE)
    assert len(commands) >= 3
    for command in commands:
        assert "query completed" in made_up.run(*shlex.split(command))


# ---------- a whole build


@pytest.fixture(scope="module")
def metrics_of_build(built, tmp_path_factory) -> MetricFlow:
    manifest = built.data_dir / "target" / "semantic_manifest.json"
    return MetricFlow(tmp_path_factory.mktemp("metrics") / "project", manifest, built.data_dir)


def test_mf_finds_every_table_column_and_metric_in_the_warehouse(metrics_of_build):
    printed = metrics_of_build.run("validate-configs", "--show-all")
    assert printed.count("(ERRORS: 0, FUTURE_ERRORS: 0, WARNINGS: 0)") == 6


def test_skill_and_coverage_by_horizon_equal_the_verdicts(metrics_of_build, built):
    expected = read(
        built.warehouse,
        """
        select horizon_days as horizon, pinball_skill as backtest_pinball_skill, coverage_80 as backtest_coverage_80,
            n_rows as backtest_n_forecasts
        from monitoring.verdicts
        where subject = 'published'
        order by horizon
        """,
    ).to_pandas()
    names = [name for name in expected if name != "horizon"]
    found = metrics_of_build.query(*names, group_by="horizon")
    assert len(expected) >= 3  # at 6m nothing has matured in the small market
    matured = found["horizon"].isin(expected["horizon"])
    assert found.loc[~matured, "backtest_pinball_skill"].isna().all()
    found = found.loc[matured, list(expected)].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected, **TOLERANCE)

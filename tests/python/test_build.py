"""A whole build on a small simulated market, and the same again on unchanged data."""

import os
import subprocess
import sys
from collections import deque

import duckdb
import pandas as pd
import pytest
from conftest import BUCKETS, END, PROJECT, UNTESTED, query

from zl_forecast.calendar import exchange_sessions
from zl_forecast.databases import open_warehouse

QUANTILES = ["p05", "p10", "p25", "p50", "p75", "p90", "p95"]


def test_build_passes_every_data_test_and_unit_test(built):
    kinds = {node.split(".")[0] for node in built.manifest["nodes"]} | {
        "unit_test" for _ in built.manifest["unit_tests"]
    }
    assert {"model", "seed", "test", "unit_test"} <= kinds
    assert set(built.status.values()) <= {"success", "pass", "no-op"}  # no-op: the exposure


def test_there_is_one_forecast_per_horizon_with_ascending_quantiles(serving):
    forecast = query(serving, "from forecasts.zl_forecast order by horizon_days")
    assert forecast["horizon_code"].tolist() == ["1w", "1m", "3m", "6m"]
    assert (forecast[QUANTILES].diff(axis=1).iloc[:, 1:] > 0).all(axis=None)
    assert forecast["as_of_date"].eq(pd.Timestamp(END)).all()
    assert forecast["prob_up"].between(0.05, 0.95).all()  # the simulated market moves less than this


def test_bands_widen_with_the_horizon(serving):
    forecast = query(serving, "from forecasts.zl_forecast order by horizon_days")
    assert (forecast["p90"] - forecast["p10"]).is_monotonic_increasing


def test_target_dates_are_horizon_days_exchange_sessions_ahead(serving):
    days = exchange_sessions(["CMEGlobex_Grains"])["session_date"]
    for row in query(serving, "from forecasts.zl_forecast").itertuples():
        assert days[days > row.as_of_date].iloc[row.horizon_days - 1] == row.target_date


def test_price_quantiles_are_exact_transforms_of_standardised_quantiles(built, serving):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        worst = con.sql(
            """
            select max(abs(ln(b.reference_p90 / b.last_price) - r.q90 * t.horizon_volatility))
            from forecasts.zl_backtest b
            join intermediate.int_targets__daily t using (as_of_date, horizon_days)
            join tournament.int_ensemble__inputs r using (as_of_date, horizon_days)
            where r.input = 'reference' and r.fold_type = 'oof'
            """
        ).fetchone()[0]
    assert worst < 1e-12


@pytest.mark.parametrize(
    "table", ["zl_forecast", "zl_forecast_ledger", "zl_backtest", "zl_risk", "zl_paths", "specialist_forecasts"]
)
def test_every_row_is_marked_as_simulated(serving, table):
    assert query(serving, f"select distinct data_source from forecasts.{table}")["data_source"].tolist() == [
        "simulated"
    ]


def test_every_ensemble_method_has_a_rank_and_a_reason_and_one_per_horizon_is_published(serving, pytestconfig):
    registered = pd.read_csv(pytestconfig.rootpath / "seeds" / "ensemble_methods.csv")["ensemble_method"]
    board = query(serving, "from monitoring.ensemble_leaderboard order by horizon_days, rank")
    forecast = query(serving, "from forecasts.zl_forecast order by horizon_days")
    for horizon, own in board.groupby("horizon_days"):
        assert sorted(own["ensemble_method"]) == sorted(registered)
        assert own["reason"].str.len().gt(10).all()
        published = own.loc[own["is_published"], "ensemble_method"].tolist()
        assert published == forecast.loc[forecast["horizon_days"] == horizon, "ensemble_method"].tolist()


def test_an_ensemble_method_is_selected_before_the_fold_on_which_it_is_evaluated(built):
    with duckdb.connect(str(built.warehouse), read_only=True) as con:
        seen = con.sql(
            """
            select c.fold_start, c.n_rows, count(f.as_of_date) as known
            from tournament.int_ensemble__choices c
            left join tournament.int_ensemble__forecasts f
                on f.ensemble_method = c.ensemble_method and f.horizon_days = c.horizon_days and f.fold_type = 'oof'
                and f.fold_number >= 2 and f.fold_start < c.fold_start and f.target_date < c.trained_until
                and f.status = 'ok' and f.is_matured
            group by all
            """
        ).df()
    assert len(seen) >= 4
    assert (seen["n_rows"] == seen["known"]).all()


def test_paths_reproduce_the_published_quantiles(serving):
    ends = query(
        serving,
        "select horizon_days, count(*) as n, quantile_cont(price, 0.9) as p90 from forecasts.zl_paths group by all",
    ).set_index("horizon_days")
    forecast = query(serving, "from forecasts.zl_forecast").set_index("horizon_days")
    assert (ends["n"] == 10_000).all()
    assert (ends["p90"] / forecast["p90"]).to_numpy() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("table", ["calibration", "reliability", "pit_histogram", "coverage_tests"])
def test_calibration_covers_every_method_and_the_published_forecast(serving, table):
    subjects = set(query(serving, f"select distinct subject from monitoring.{table}")["subject"])
    assert {"published", "reference_alone", "conformal", "stacking"} <= subjects


def test_every_bucket_and_the_published_forecast_has_a_state_of_health_at_every_horizon(serving):
    health = query(serving, "from monitoring.model_health where is_newest")
    assert len(health) == (len(BUCKETS) + 1) * 4
    assert (
        health["state"].isin(["healthy", "watch"]).all()
    )  # three years of history are too few to evaluate, and nothing has expired
    assert health["reason"].str.len().gt(10).all()


def test_every_bucket_and_horizon_has_a_winner_with_a_verdict(serving):
    winners = query(serving, "from monitoring.bucket_winners")
    assert len(winners) == len(BUCKETS) * 4
    assert winners["verdict"].isin(["skill", "no_skill"]).all()


def test_champions_in_the_registry_are_the_inputs_of_the_forecast(serving):
    champions = query(
        serving, "select bucket, family, horizon_days from monitoring.model_registry where status = 'champion'"
    )
    winners = query(serving, "select bucket, winner as family, horizon_days from monitoring.bucket_winners")
    forecast = query(
        serving, "select 'ensemble' as bucket, ensemble_method as family, horizon_days from forecasts.zl_forecast"
    )
    core = forecast.assign(bucket="core", family="autogluon_timeseries")
    expected = pd.concat([winners, forecast, core])
    assert sorted(champions.itertuples(index=False)) == sorted(expected.itertuples(index=False))


def test_every_enrolled_family_was_scored_on_the_same_rows(serving):
    counts = query(
        serving,
        """
        select horizon_days, fold_start, family, n_rows from monitoring.tournament_results
        where bucket = 'crush' and status = 'ok'
        """,
    )
    families = set(counts["family"])
    assert {"reference", "lightgbm", "catboost", "xgboost"} <= families
    by_fold = counts.groupby(["horizon_days", "fold_start"])["n_rows"].agg(["nunique", "size"])
    assert (by_fold["nunique"] == 1).all()
    assert (by_fold["size"] == len(families)).all()


def test_history_starts_when_methods_can_be_fitted_and_selected(serving):
    first = query(serving, "select min(as_of_date) as d from forecasts.zl_backtest")["d"].iloc[0]
    folds = query(serving, "select distinct fold_start from monitoring.tournament_results order by 1")["fold_start"]
    assert first >= folds.iloc[2]


def test_every_model_and_every_column_is_described(built):
    undescribed = []
    with open_warehouse("", built.warehouse) as con:
        for node in [*built.manifest["nodes"].values(), *built.manifest["sources"].values()]:
            if node["resource_type"] not in ("model", "seed", "source"):
                continue
            relation = f'"{node["database"]}"."{node["schema"]}"."{node.get("alias") or node["identifier"]}"'
            has_rows = node.get("source_name") != "publishers"  # these exist for `dbt source freshness` alone
            columns = [row[0] for row in con.sql(f"describe {relation}").fetchall()] if has_rows else []
            documented = {name.lower() for name, column in node["columns"].items() if column["description"]}
            undescribed += [f"{node['name']}.{column}" for column in columns if column.lower() not in documented]
            undescribed += [] if node["description"] else [node["name"]]
    assert undescribed == []


def test_lineage_leads_from_the_landing_files_to_the_forecast_and_the_report(built):
    parents, reached = built.manifest["parent_map"], set()
    todo = deque(["exposure.zl_forecast.zl_report"])
    while todo:
        for parent in parents.get(todo.popleft(), []):
            if parent not in reached:
                reached.add(parent)
                todo.append(parent)
    names = {node.split(".")[-1] for node in reached}
    assert {"bars_daily", "series", "policy_events"} <= names
    assert {
        "zl_forecast",
        "int_gate__zl",
        "int_gate__results",
        "specialist_crush",
        "int_core__forecasts",
        "int_ensemble__methods",
    } <= names


def test_tables_that_bi_reads_have_contracts(built):
    published = [n for n in built.manifest["nodes"].values() if n["schema"] in ("forecasts", "monitoring")]
    loose = {n["name"] for n in published if n["resource_type"] == "model" and not n["config"]["contract"]["enforced"]}
    assert loose <= {"published_snapshot"}  # dbt does not support contracts on Python models


@pytest.mark.parametrize("command", [("summary",), ("leaderboard", "ensemble"), ("health",)])
def test_a_closed_pipe_prints_no_traceback(built, command):
    environment = {**os.environ, "ZL_DATA_DIR": str(built.data_dir)}
    reader, writer = os.pipe()
    os.close(reader)
    zl = subprocess.run(
        [sys.executable, "-m", "zl_forecast.cli", *command],
        env=environment, cwd=PROJECT, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert (zl.returncode, zl.stderr) == (0, "")


def test_the_page_states_that_the_market_is_simulated_and_shows_every_section(serving):
    page = (serving / "report.html").read_text()
    assert "Simulated market" in page
    assert "<svg" in page
    for name in (
        "answers",
        "forecast",
        "drivers",
        "position",
        "skill",
        "risk",
        "methods",
        "tournament",
        "champions",
        "checks",
    ):
        assert f'<section id="{name}">' in page
    assert len(page.encode()) < 300_000


def test_docs_are_one_static_page(run_dbt, landing, built):
    run_dbt(("docs", "generate", "--static"), landing=landing, data_dir=built.data_dir)
    page = (built.data_dir / "target" / "static_index.html").read_text()
    assert "zl_forecast_ledger" in page
    assert len(page) > 1_000_000


def test_an_unchanged_build_fits_nothing_and_rewrites_nothing(run_dbt, landing, built, serving):
    ledger = query(serving, "from forecasts.zl_forecast_ledger order by horizon_days")
    snapshot = (serving / "current").readlink()
    again = run_dbt(UNTESTED, landing=landing, data_dir=built.data_dir)
    assert " s so far" in built.stdout  # progress line of a finished fit
    assert " s so far" not in again.stdout
    assert (serving / "current").readlink() == snapshot
    pd.testing.assert_frame_equal(query(serving, "from forecasts.zl_forecast_ledger order by horizon_days"), ledger)

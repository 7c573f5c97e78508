"""Whole builds on a small simulated market: first, unchanged, one session later, with a bad bucket, with bad files."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections import deque

import duckdb
import pandas as pd
import pytest
from conftest import BUCKETS, END, PROJECT, START, query

from zl_forecast.calendar import exchange_sessions
from zl_forecast.databases import open_warehouse
from zl_forecast.sample import simulate, write_landing
from zl_forecast.tournament.runner import MODEL

NEXT = "2023-05-31"
BUILD = ("build", "--exclude-resource-type", "unit_test")
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
    again = run_dbt(BUILD, landing=landing, data_dir=built.data_dir)
    assert " s so far" in built.stdout  # progress line of a finished fit
    assert " s so far" not in again.stdout
    assert (serving / "current").readlink() == snapshot
    pd.testing.assert_frame_equal(query(serving, "from forecasts.zl_forecast_ledger order by horizon_days"), ledger)


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """Landing files of the small market with one more session."""
    folder = tmp_path_factory.mktemp("landing") / "longer"
    write_landing(simulate("planted", start=START, end=NEXT), folder)
    return folder


@pytest.fixture(scope="module")
def day_later(run_dbt, built, longer, tmp_path_factory):
    """Build the next session into a copy of `built` while another process reads the snapshot."""
    data_dir = tmp_path_factory.mktemp("day_later") / "data"
    shutil.copytree(built.data_dir, data_dir, symlinks=True)
    serving = data_dir / "serving"
    before = {
        "ledger": query(serving, "from forecasts.zl_forecast_ledger"),
        "backtest": query(serving, "from forecasts.zl_backtest where realised_price is not null"),
    }
    stop, errors, answers = threading.Event(), [], set()

    def keep_reading():
        while not stop.wait(0.05):
            try:
                rows = query(serving, "select as_of_date, count(*) as n from forecasts.zl_forecast group by 1")
                answers.update(rows.itertuples(index=False, name=None))
            except Exception as error:
                errors.append(error)

    reader = threading.Thread(target=keep_reading)
    reader.start()
    result = run_dbt(BUILD, landing=longer, data_dir=data_dir)
    stop.set()
    reader.join()
    return result, before, errors, answers


def test_a_concurrent_reader_sees_the_old_or_the_new_snapshot_and_no_error(day_later):
    _, _, errors, answers = day_later
    assert errors == []
    assert {day.strftime("%Y-%m-%d") for day, _ in answers} <= {END, NEXT}
    assert {n for _, n in answers} == {4}


def test_a_new_session_adds_four_ledger_rows_and_changes_none(day_later):
    result, before, *_ = day_later
    ledger = query(result.data_dir / "serving", "from forecasts.zl_forecast_ledger")
    assert len(ledger) == len(before["ledger"]) + 4
    kept = ledger[ledger["as_of_date"] == pd.Timestamp(END)]
    key = ["horizon_days"]
    pd.testing.assert_frame_equal(
        kept.sort_values(key, ignore_index=True), before["ledger"].sort_values(key, ignore_index=True)
    )


def test_a_new_session_does_not_change_history(day_later):
    result, before, *_ = day_later
    key = ["as_of_date", "horizon_days"]
    old = before["backtest"].set_index(key).sort_index()
    new = query(result.data_dir / "serving", "from forecasts.zl_backtest").set_index(key).sort_index().loc[old.index]
    pd.testing.assert_frame_equal(
        new, old, check_exact=True, check_dtype=False
    )  # nulls of the new session change dtypes


def test_a_new_session_within_the_month_is_forecast_with_the_months_models(day_later):
    result, *_ = day_later
    with duckdb.connect(str(result.warehouse), read_only=True) as con:
        fits = con.sql(
            "select artifact_id, max(as_of_date) from tournament.specialist_crush where fold_type = 'live' group by 1"
        ).fetchall()
    assert len(fits) == 5  # one per family
    for artifact, newest in fits:
        assert str(newest)[:10] == NEXT
        assert (result.data_dir / "artifacts" / artifact / MODEL).exists()


def test_forecasts_made_after_a_later_session_was_known_are_hindsight_and_the_newest_is_not(day_later):
    made = query(
        day_later[0].data_dir / "serving",
        "select distinct as_of_date, is_hindsight from forecasts.bucket_forecast_ledger order by all",
    )
    filled_in = made[made["as_of_date"] < pd.Timestamp(END)]
    assert len(filled_in) > 15  # of the first build: one row per session of the month
    assert filled_in["is_hindsight"].all()
    assert made.iloc[len(filled_in) :].to_numpy().tolist() == [[pd.Timestamp(END), False], [pd.Timestamp(NEXT), False]]


def test_landing_files_that_lost_a_session_are_refused_before_training_and_nothing_published_changes(
    run_dbt, day_later, landing
):
    data_dir = day_later[0].data_dir
    snapshot = (data_dir / "serving" / "current").readlink()
    failed = run_dbt(BUILD, landing=landing, data_dir=data_dir, expect_failure=True)
    assert f"the data end on {END}, but forecasts as of {NEXT} have been made in this data folder" in failed.stdout
    assert "1 session is lost" in failed.stdout
    assert {status for name, status in failed.status.items() if name in failed.models_after("int_gate__zl")} == {
        "skipped"
    }
    assert (data_dir / "serving" / "current").readlink() == snapshot


def test_a_bad_bucket_is_quarantined_and_the_forecast_is_published(run_dbt, day_later, longer, tmp_path):
    serving = day_later[0].data_dir / "serving"
    bars = pd.read_parquet(longer / "bars_daily.parquet")
    heating_oil = bars["symbol"] == "HO"
    bars.loc[heating_oil, ["open", "high", "low", "close"]] *= 100  # cents instead of dollars per gallon
    broken = tmp_path / "broken"
    shutil.copytree(longer, broken)
    bars.to_parquet(broken / "bars_daily.parquet", index=False)
    run_dbt(BUILD, landing=broken, data_dir=serving.parent)
    status = query(serving, "select distinct bucket, bucket_status from monitoring.gx_results").set_index("bucket")
    assert set(status.index[status["bucket_status"] == "quarantined"]) == {"biofuel", "energy"}
    forecast = query(serving, "from forecasts.zl_forecast")
    assert len(forecast) == 4
    inputs = query(serving, "select distinct inputs from monitoring.ensemble_results")["inputs"]
    assert not inputs.str.contains("energy|biofuel").any()


def test_a_failed_build_leaves_the_snapshot_and_retry_finishes(run_dbt, day_later, longer, tmp_path):
    serving = day_later[0].data_dir / "serving"
    snapshot = (serving / "current").readlink()
    bad = tmp_path / "bad"
    shutil.copytree(longer, bad)
    bars = pd.read_parquet(bad / "bars_daily.parquet")
    good = bars.copy()
    bars.loc[bars.index[bars["symbol"] == "ZL"][-1], "close"] = -1.0
    bars.to_parquet(bad / "bars_daily.parquet", index=False)
    failed = run_dbt(BUILD, landing=bad, data_dir=serving.parent, expect_failure=True)
    assert "ZL closes at zero or below, for example -1.0 (1 row)" in failed.stdout
    assert (serving / "current").readlink() == snapshot
    good.to_parquet(bad / "bars_daily.parquet", index=False)
    run_dbt(("retry",), landing=bad, data_dir=serving.parent)
    assert len(query(serving, "from forecasts.zl_forecast")) == 4


def test_the_manifest_counts_the_rows_of_the_snapshot(day_later):
    serving = day_later[0].data_dir / "serving"
    for fact in json.loads((serving / "current" / "manifest.json").read_text())["tables"]:
        rows = query(serving, f"select count(*) as n from {fact['table_schema']}.{fact['table_name']}")["n"].iloc[0]
        assert rows == fact["n_rows"]

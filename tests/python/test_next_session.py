"""Builds after the first one: one session later after a failure, with a lost session, with bad buckets."""

import json
import shutil
import threading
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from conftest import BUILD, END, NEXT, ONE_BUCKET, UNTESTED, query

from zl_forecast.databases import open_warehouse
from zl_forecast.tournament.runner import MODEL


def _with_bars(landing: Path, to: Path, change) -> Path:
    """Copy landing files and change their bars in place."""
    shutil.copytree(landing, to)
    bars = pd.read_parquet(to / "bars_daily.parquet")
    change(bars)
    bars.to_parquet(to / "bars_daily.parquet", index=False)
    return to


@pytest.fixture(scope="module")
def day_later(run_dbt, reselected, next_session, tmp_path_factory):
    """Build the next session into a copy of `reselected`: first with a bad bar, then with `dbt retry`.

    Another thread reads the snapshot all the time.
    """
    root = tmp_path_factory.mktemp("day_later")
    data_dir = root / "data"
    shutil.copytree(reselected.data_dir, data_dir, symlinks=True)
    serving = data_dir / "serving"
    snapshots = [(serving / "current").readlink()]
    with open_warehouse("", reselected.warehouse) as con:
        before = {
            "ledger": con.sql("from state.forecasts.zl_forecast_ledger").df(),
            "backtest": con.sql("from forecasts.zl_backtest where realised_price is not null").df(),
        }
    stop, errors, answers = threading.Event(), [], set()

    def keep_reading():
        while not stop.wait(0.05):
            try:
                rows = query(serving, "select as_of_date, count(*) as n from forecasts.zl_forecast group by 1")
                answers.update(rows.itertuples(index=False, name=None))
            except Exception as error:
                errors.append(error)

    def negative(bars):
        bars.loc[bars.index[bars["symbol"] == "ZL"][-1], "close"] = -1.0

    landing = _with_bars(next_session, root / "landing", negative)
    reader = threading.Thread(target=keep_reading)
    reader.start()
    failed = run_dbt((*BUILD, "--vars", ONE_BUCKET), landing=landing, data_dir=data_dir, expect_failure=True)
    snapshots.append((serving / "current").readlink())
    shutil.copy(next_session / "bars_daily.parquet", landing)
    result = run_dbt(("retry", "--vars", ONE_BUCKET), landing=landing, data_dir=data_dir)
    stop.set()
    reader.join()
    return result, before, errors, answers, failed, snapshots


def test_a_failed_build_leaves_the_snapshot_and_retry_finishes(day_later):
    result, *_, failed, snapshots = day_later
    assert "ZL closes at zero or below, for example -1.0 (1 row)" in failed.stdout
    assert snapshots[0] == snapshots[1]
    forecast = query(result.data_dir / "serving", "from forecasts.zl_forecast")
    assert len(forecast) == 4
    assert forecast["as_of_date"].eq(pd.Timestamp(NEXT)).all()


def test_a_concurrent_reader_sees_the_old_or_the_new_snapshot_and_no_error(day_later):
    _, _, errors, answers, *_ = day_later
    assert errors == []
    assert {day.strftime("%Y-%m-%d") for day, _ in answers} <= {END, NEXT}
    assert {n for _, n in answers} == {4}


def test_a_new_session_adds_four_ledger_rows_and_changes_none(day_later):
    result, before, *_ = day_later
    ledger = query(result.data_dir / "serving", "from forecasts.zl_forecast_ledger")
    assert len(ledger) == len(before["ledger"]) + 4
    kept = ledger[ledger["as_of_date"] == pd.Timestamp(END)]
    key = ["model_version", "horizon_days"]
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
    command = (*UNTESTED, "--vars", ONE_BUCKET)
    failed = run_dbt(command, landing=landing, data_dir=data_dir, expect_failure=True)
    assert f"the data end on {END}, but forecasts as of {NEXT} have been made in this data folder" in failed.stdout
    assert "1 session is lost" in failed.stdout
    assert {status for name, status in failed.status.items() if name in failed.models_after("int_gate__zl")} == {
        "skipped"
    }
    assert (data_dir / "serving" / "current").readlink() == snapshot


def test_bad_buckets_are_quarantined_and_the_forecast_is_published(run_dbt, day_later, next_session, tmp_path):
    def in_cents(bars):
        bars.loc[bars["symbol"] == "HO", ["open", "high", "low", "close"]] *= 100  # instead of dollars per gallon

    serving = day_later[0].data_dir / "serving"
    broken = _with_bars(next_session, tmp_path / "broken", in_cents)
    three = "{buckets: [crush, biofuel, energy]}"
    run_dbt((*BUILD, "--vars", three), landing=broken, data_dir=serving.parent)
    status = query(serving, "select distinct bucket, bucket_status from monitoring.gx_results").set_index("bucket")
    assert set(status.index[status["bucket_status"] == "quarantined"]) == {"biofuel", "energy"}
    forecast = query(serving, "from forecasts.zl_forecast")
    assert len(forecast) == 4
    inputs = query(serving, "select distinct inputs from monitoring.ensemble_results")["inputs"]
    assert not inputs.str.contains("energy|biofuel").any()


def test_the_manifest_counts_the_rows_of_the_snapshot(day_later):
    serving = day_later[0].data_dir / "serving"
    for fact in json.loads((serving / "current" / "manifest.json").read_text())["tables"]:
        rows = query(serving, f"select count(*) as n from {fact['table_schema']}.{fact['table_name']}")["n"].iloc[0]
        assert rows == fact["n_rows"]

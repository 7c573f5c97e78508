"""Data that lost their newest sessions are refused; another market in the same data folder is reported."""

import shutil

import duckdb
import pandas as pd
import pytest
from conftest import BUCKETS, read

from zl_forecast.calendar import exchange_sessions


@pytest.fixture(scope="module")
def newest(sample_features) -> pd.Timestamp:
    """Newest session of the data."""
    with duckdb.connect(str(sample_features.warehouse), read_only=True) as con:
        return pd.Timestamp(con.sql("select max(as_of_date) from intermediate.int_targets__daily").fetchone()[0])


@pytest.fixture(scope="module")
def seen(newest) -> pd.Timestamp:
    """The third session after the newest, for which a forecast has been made."""
    sessions = exchange_sessions(["CMEGlobex_Grains"])["session_date"]
    return sessions[sessions > newest].iloc[2]


@pytest.fixture(scope="module")
def later(seen) -> pd.Timestamp:
    """Two weeks later: the newest forecast of another market."""
    return seen + pd.Timedelta(days=14)


def write_ledgers(data_dir, made: dict[str, list]) -> None:
    """Write ledgers with only these rows, given as (data_source, as_of_date)."""
    with duckdb.connect(str(data_dir / "state.duckdb")) as con:
        for name in ("zl_forecast_ledger", "bucket_forecast_ledger"):
            con.execute(f"delete from forecasts.{name}")
            for row in made.get(name, []):
                con.execute(f"insert into forecasts.{name} by name select ? as data_source, ?::date as as_of_date", row)


@pytest.fixture(scope="module")
def build(run_dbt, sample_features, sample_landing, tmp_path_factory):
    """Return a function that runs dbt on `sample_features` with ledger rows given as (data_source, as_of_date)."""
    data_dir = tmp_path_factory.mktemp("one_way") / "data"
    shutil.copytree(sample_features.data_dir, data_dir)

    def run(select: str, made: dict[str, list], *flags: str, targets: str = "", **expected):
        with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
            con.execute(f"attach '{sample_features.warehouse}' as whole (read_only)")
            con.execute(
                f"create or replace table intermediate.int_targets__daily as from whole.intermediate.int_targets__daily {targets}"
            )
            con.execute("detach whole")
        write_ledgers(data_dir, made)
        command = ("build", "--resource-type", "model", "--resource-type", "seed", "--select", select, *flags)
        return run_dbt(command, landing=sample_landing, data_dir=data_dir, **expected)

    return run


def test_data_that_lost_their_newest_sessions_are_refused_with_both_dates_and_a_fix_also_without_a_warehouse(
    run_dbt, sample_features, sample_landing, newest, seen, later, tmp_path
):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    shutil.copy(sample_features.data_dir / "state.duckdb", data_dir)
    made = {
        "zl_forecast_ledger": [("simulated", newest), ("market", later)],
        "bucket_forecast_ledger": [("simulated", seen)],
    }
    write_ledgers(data_dir, made)
    command = ("build", "--resource-type", "model", "--resource-type", "seed", "--select", "+int_gate__zl")
    failed = run_dbt(command, landing=sample_landing, data_dir=data_dir, expect_failure=True)
    assert {name for name, status in failed.status.items() if status != "success"} == {"int_gate__zl"}
    assert failed.status["int_gate__zl"] == "error"
    said = " ".join(failed.stdout.split())
    assert (
        f"the data end on {newest.date()}, but forecasts as of {seen.date()} have been made in this data folder" in said
    )
    assert "3 sessions are lost" in said
    assert "make build DBT_FLAGS=\"--vars 'allow_earlier_as_of: true'\"" in said
    kept = read(failed.warehouse, "select as_of_date::varchar as day from state.forecasts.zl_forecast_ledger")
    assert kept.to_pylist() == [{"day": str(newest.date())}, {"day": str(later.date())}]


def test_data_without_a_single_target_are_left_to_the_gate(build):
    failed = build(
        "int_gate__zl", {"zl_forecast_ledger": [("simulated", "2021-01-04")]}, targets="limit 0", expect_failure=True
    )
    assert "zl_targets failed" in failed.stdout


def test_going_back_on_purpose_and_another_market_are_reported(build, newest, seen, later):
    made = {
        "zl_forecast_ledger": [("market", seen), ("market", later)],
        "bucket_forecast_ledger": [("simulated", seen)],
    }
    done = build("int_gate__zl", made, "--vars", "allow_earlier_as_of: true")
    assert f"This build goes back to {newest.date()}, 3 session(s) before {seen.date()}" in done.stdout
    assert (
        f"Until now this data folder held a real market: its 2 forecasts, up to {later.date()}, stay in the ledger"
        in done.stdout
    )


def test_no_selection_publishes_or_adds_to_a_ledger_past_the_check(sample_features):
    nodes = sample_features.manifest["nodes"]
    for name in ("int_gate__zl", "zl_forecast_ledger", "bucket_forecast_ledger", "published_snapshot"):
        hooks = [hook["sql"] for hook in nodes[f"model.zl_forecast.{name}"]["config"]["pre-hook"]]
        assert "{{ refuse_earlier_as_of() }}" in hooks
    # all training depends on it
    after = sample_features.models_after("int_gate__zl")
    assert {
        "int_core__forecasts",
        "int_ensemble__methods",
        *(f"specialist_{name}" for name in BUCKETS),
    } <= after

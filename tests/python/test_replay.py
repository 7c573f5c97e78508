"""Replay: its sessions, their point-in-time data, resuming, and the numbers of the report."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from conftest import PROJECT, dbt_command, read

from zl_forecast import cli
from zl_forecast.dbt_run import BuildFailed
from zl_forecast.errors import ZlForecastError
from zl_forecast.landing import TABLES, LandingFolder, read_table
from zl_forecast.replay import (
    HISTORY_SESSIONS,
    KNOWN_FROM,
    Replay,
    draw,
    replay,
    report,
    select_days,
    write_known_rows,
)

FRIDAYS = [date(2021, 11, 5), date(2021, 11, 12), date(2021, 11, 19), date(2021, 11, 26)]


@pytest.fixture(scope="module")
def sessions() -> pd.DatetimeIndex:
    """Weekdays of 2017 to 21 April 2021, without Good Friday, 2 April 2021."""
    return pd.bdate_range("2017-01-02", "2021-04-21").drop(pd.Timestamp("2021-04-02"))


@pytest.fixture(scope="module")
def tables(sample_landing) -> dict[str, pa.Table]:
    folder = LandingFolder(sample_landing, "simulated")
    return {name: read_table(name, folder) for name in TABLES}


@pytest.mark.parametrize(
    ("step", "days"),
    [
        ("week", ["2021-03-26", "2021-04-01", "2021-04-09", "2021-04-16", "2021-04-20"]),  # the last week ends with TO
        ("month", ["2021-03-31", "2021-04-20"]),
        (
            "day",
            [str(day.date()) for day in pd.bdate_range("2021-03-24", "2021-04-20") if str(day.date()) != "2021-04-02"],
        ),
    ],
)
def test_steps_are_the_last_sessions_by_the_calendar(sessions, step, days):
    chosen = select_days(sessions, date(2021, 3, 24), date(2021, 4, 20), step)
    assert [str(day) for day in chosen] == days


def test_a_range_past_the_newest_bar_ends_there_with_a_message(sessions, capsys):
    assert select_days(sessions, date(2021, 4, 19), date(2022, 12, 31), "week") == [date(2021, 4, 21)]
    assert "TO 2022-12-31 is after the newest ZL bar: the replay ends on 2021-04-21" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("start", "end", "step", "says"),
    [
        (date(2021, 1, 1), date(2021, 2, 1), "fortnight", "STEP 'fortnight' does not exist. Use day, week, month"),
        (
            date(2022, 1, 1),
            date(2022, 2, 1),
            "week",
            "no ZL session between FROM 2022-01-01 and TO 2022-02-01.*to 2021-04-21",
        ),
        (date(2021, 2, 1), date(2021, 1, 1), "week", "no ZL session between FROM"),
        (date(2021, 4, 3), date(2021, 4, 4), "day", "no ZL session between FROM"),  # a weekend
        # 816 sessions of five a week from 2 January 2017 on: 163 weeks and a day, so 17 February 2020
        (date(2018, 1, 5), date(2021, 1, 1), "week", "only 265 ZL .* 2018-01-05 .*needs 816.*FROM=2020-02-17"),
    ],
)
def test_a_range_that_cannot_be_replayed_is_refused_with_a_fix(sessions, start, end, step, says):
    with pytest.raises(ZlForecastError, match=says):
        select_days(sessions, start, end, step)


def test_the_earliest_start_named_in_the_message_is_accepted(sessions):
    earliest = sessions[HISTORY_SESSIONS - 1].date()
    assert select_days(sessions, earliest, earliest, "day") == [earliest]


def test_landing_data_of_a_day_are_all_public_rows_and_no_later_ones(tables, sample_landing, tmp_path):
    day = date(2021, 6, 30)
    write_known_rows(tables, day, tmp_path, sample_landing / "SIMULATED.json")
    known = LandingFolder(tmp_path, "simulated")
    for name, column in KNOWN_FROM.items():
        rows = read_table(name, known).to_pandas()
        expected = tables[name].to_pandas().loc[lambda all_rows, on=column: all_rows[on] <= day]
        assert rows[column].max() <= day
        assert 0 < len(rows) < tables[name].num_rows
        key = list(TABLES[name].key)
        pd.testing.assert_frame_equal(
            rows.sort_values(key, ignore_index=True), expected.sort_values(key, ignore_index=True)
        )
    assert (tmp_path / "SIMULATED.json").read_text() == (sample_landing / "SIMULATED.json").read_text()


def test_only_data_public_by_the_day_change_its_landing_files(tables, tmp_path):
    day = date(2021, 6, 30)
    write_known_rows(tables, day, tmp_path / "as_it_is", None)
    perturbed = {name: _perturbed(table, KNOWN_FROM[name], after=day) for name, table in tables.items()}
    digest = write_known_rows(perturbed, day, tmp_path / "perturbed", None)
    for name in TABLES:
        file = f"{name}.parquet"
        assert (tmp_path / "as_it_is" / file).read_bytes() == (tmp_path / "perturbed" / file).read_bytes()
    assert write_known_rows(perturbed, date(2021, 7, 1), tmp_path / "later", None) != digest
    earlier = {name: _perturbed(table, KNOWN_FROM[name], after=date(2021, 6, 29)) for name, table in tables.items()}
    assert write_known_rows(earlier, day, tmp_path / "earlier", None) != digest


def _perturbed(table: pa.Table, column: str, after: date) -> pa.Table:
    """Change all numbers after a day, remove a third of the rows, and shuffle them."""
    rows = table.to_pandas()
    later = rows[column] > after
    numbers = rows.select_dtypes("float").columns
    rows.loc[later, numbers] = rows.loc[later, numbers] * 1.5
    rows = rows[~(later & (np.arange(len(rows)) % 3 == 0))].sample(frac=1, random_state=0)
    return pa.Table.from_pandas(rows, schema=table.schema, preserve_index=False)


def test_a_table_without_public_rows_has_no_file(tables, tmp_path):
    write_known_rows(tables, date(2021, 6, 30), tmp_path, None)
    write_known_rows({"policy_events": tables["policy_events"]}, date(2000, 1, 1), tmp_path, None)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "bars_daily.parquet",
        "curve_daily.parquet",
        "series.parquet",
    ]


class FakeDbt:
    """Record each requested command with the newest visible bar, and write the warehouse worked by hand."""

    def __init__(self, fails_at: date | None = None, error: BaseException | None = None):
        self.fails_at, self.error = fails_at, error
        self.asked: list[tuple[str, date]] = []

    def __call__(self, command: str, work: Replay) -> None:
        newest = duckdb.sql(f"select max(as_of_date) from '{work.landing}/bars_daily.parquet'").fetchone()[0]
        if command == "build" and newest == self.fails_at:
            raise self.error
        self.asked.append((command, newest))
        if not work.warehouse.exists():
            worked_by_hand(work.warehouse)


@pytest.fixture
def november(sample_landing, tmp_path, monkeypatch):
    """Replay the weeks of November 2021 of the sample in the test's own data folder."""
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("ZL_LANDING_DIR", str(sample_landing))
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    return lambda dbt=None: replay("2021-11-01", "2021-11-28", "week", ("crush",), "quick", dbt=dbt)


def test_a_stopped_replay_resumes_and_a_finished_one_only_reports(november, tmp_path, capsys):
    stopped = FakeDbt(FRIDAYS[2], KeyboardInterrupt())
    with pytest.raises(ZlForecastError, match="stopped at 2021-11-19; run the same command to continue"):
        november(stopped)
    assert stopped.asked == [("build", FRIDAYS[0]), ("build", FRIDAYS[1])]

    resumed = FakeDbt()
    folder = november(resumed)
    assert resumed.asked == [("build", FRIDAYS[2]), ("build", FRIDAYS[3]), ("test", FRIDAYS[3])]
    assert folder == tmp_path / "data" / "replay" / "2021-11-01_2021-11-28_week_crush_quick"
    assert not list(folder.rglob("*.writing"))

    capsys.readouterr()
    finished = FakeDbt()
    november(finished)
    assert finished.asked == []
    assert (folder / "report.md").read_text() in capsys.readouterr().out


def test_failing_data_tests_are_reported_after_the_report_and_run_again(november, capsys):
    class FailsTests(FakeDbt):
        def __call__(self, command, work):
            super().__call__(command, work)
            if command == "test":
                raise BuildFailed("unique_key_zl_forecast_ledger: Got 2 results")

    with pytest.raises(BuildFailed, match="2021-11-26 failed: unique_key_zl_forecast_ledger: Got 2 results"):
        november(FailsTests())
    assert "## Wall time" in capsys.readouterr().out
    again = FakeDbt()
    november(again)
    assert again.asked == [("test", FRIDAYS[3])]


def test_new_bars_after_the_end_of_the_data_are_replayed_and_tested_as_well(tables, tmp_path, monkeypatch):
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / "market"))
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    dbt = FakeDbt()
    for newest in FRIDAYS[1], FRIDAYS[2]:
        write_known_rows(tables, newest, tmp_path / "market", None)
        replay("2021-11-10", "2021-12-31", dbt=dbt)
    assert dbt.asked == [(command, day) for day in FRIDAYS[1:3] for command in ("build", "test")]


def test_a_started_replay_refuses_other_landing_data(november, tables, tmp_path, monkeypatch):
    with pytest.raises(ZlForecastError):
        november(FakeDbt(FRIDAYS[2], KeyboardInterrupt()))
    write_known_rows(tables, date(2021, 12, 31), tmp_path / "market", None)  # the same numbers, marked as real
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / "market"))
    with pytest.raises(ZlForecastError, match=r"up to 2021-11-12 changed since this replay started.*remove .*replay"):
        november(FakeDbt())


def test_a_failed_build_is_reported_with_day_node_and_log(november, tmp_path, monkeypatch, capsys):
    broken = FakeDbt(FRIDAYS[1], BuildFailed("specialist_crush: no memory left"))
    monkeypatch.setattr("zl_forecast.replay.run_dbt", broken)
    command = ["replay", "--from", "2021-11-01", "--to", "2021-11-28", "--buckets", "crush", "--preset", "quick"]
    assert cli.main(command) == 1
    printed = capsys.readouterr().err
    log = tmp_path / "data" / "replay" / "2021-11-01_2021-11-28_week_crush_quick" / "replay.log"
    assert f"step 2021-11-12 failed: specialist_crush: no memory left\n    dbt output: {log}." in printed
    assert "run the same command to continue" in printed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("2021-11-01", "2021-11-31"), "TO '2021-11-31' is not a date.*TO=2019-01-01"),
        (("2021-11-01", "2021-11-28", "week", ("crash",)), "bucket 'crash' does not exist. Choose from .*crush"),
        (("2018-11-01", "2021-11-28"), "213 ZL sessions up to the first step, 2018-11-02 .* needs 816"),
    ],
)
def test_an_invalid_argument_is_named(november, arguments, says):
    with pytest.raises(ZlForecastError, match=says):
        replay(*arguments, dbt=FakeDbt())


def worked_by_hand(warehouse: Path) -> None:
    """Six forecasts, four of them matured; two reselections, one of them after a degradation; one fallback.

    1w: pinball 1 + 2 + 3 = 6 against 2 + 2 + 4 = 8, so 25 % less; two of three inside the 80 % band, all inside 90 %.
    1m: pinball 3 against 2, so 50 % more; outside both bands. Earlier forecasts of another market are left out.
    """
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(warehouse)) as con:
        con.execute("create schema forecasts; create schema monitoring")
        con.execute(
            """
            create table forecasts.zl_forecast_ledger as
            from (values
                (date '2021-03-26', 5, '1w', null), (date '2021-03-26', 20, '1m', null),
                (date '2021-04-01', 5, '1w', null), (date '2021-04-01', 20, '1m', 'covered too little'),
                (date '2021-04-09', 5, '1w', null), (date '2021-04-09', 20, '1m', null)
            ) as made (as_of_date, horizon_days, horizon_code, fallback_reason)
            select *, 'simulated' as data_source, as_of_date::timestamp as made_at;
            insert into forecasts.zl_forecast_ledger values (date '2021-04-12', 5, '1w', 'too narrow', 'market', timestamp '2021-01-01 23:00');

            create table forecasts.zl_forecast_accuracy as
            from (values
                (date '2021-03-26', 5, '1w', date '2021-04-01', 1.0, 2.0, true, true),
                (date '2021-04-01', 5, '1w', date '2021-04-09', 2.0, 2.0, true, true),
                (date '2021-04-09', 5, '1w', date '2021-04-16', 3.0, 4.0, false, true),
                (date '2021-03-26', 20, '1m', date '2021-04-26', 3.0, 2.0, false, false)
            ) as due (
                as_of_date, horizon_days, horizon_code, target_date, pinball_cents, reference_pinball_cents, is_inside_80, is_inside_90
            )
            select *, 'simulated' as data_source;

            create table monitoring.run_history as
            from (values
                ('crush', date '2021-03-01', 'reselection', 'first_run', 'never held', date '2021-03-26'),
                ('fx', date '2021-03-01', 'reselection', 'first_run', 'never held', date '2021-03-26'),
                ('crush', date '2021-04-09', 'reselection', 'degraded', 'degraded at 1w | 1m', date '2021-04-09')
            ) as history (bucket, live_from, action, trigger, reason, as_of_date)
            select *, 'simulated' as data_source;
            insert into monitoring.run_history
            values ('fed', date '2020-12-01', 'reselection', 'degraded', 'degraded at 1w', date '2020-12-07', 'market');

            create table monitoring.model_health as
            from (values
                ('crush', 5, '1w', 'degraded', 'loss above the expected one', true), ('fx', 5, '1w', 'healthy', 'fine', true),
                ('published', 5, '1w', 'healthy', 'fine', true), ('fx', 5, '1w', 'expired', 'long ago', false)
            ) as health (subject, horizon_days, horizon_code, state, reason, is_newest);
            """
        )


@pytest.fixture(scope="module")
def lines(tmp_path_factory) -> list[str]:
    """Return the lines of the report of `worked_by_hand`, with single blanks."""
    worked_by_hand(warehouse := tmp_path_factory.mktemp("worked_by_hand") / "warehouse.duckdb")
    seconds = {date(2021, 3, 26): 100.0, date(2021, 4, 1): 10.0, date(2021, 4, 9): 40.0}
    return [" ".join(line.split()) for line in report(warehouse, seconds).splitlines()]


@pytest.mark.parametrize(
    "line",
    [
        "# Replay 2021-03-26 to 2021-04-09: 3 steps, simulated data",
        "| first_run | reselection | 2 | 2 | 1 |",
        "| degraded | reselection | 1 | 1 | 1 |",
        r"| 2021-04-09 | crush | 2021-04-09 | degraded at 1w \| 1m |",
        "| 1w | 3 | 3 | +25.0% | 67% | 100% |",
        "| 1m | 3 | 1 | -50.0% | 0% | 0% |",
        "| quarter | 1w | 1m |",
        "| 2021Q1 | 100% (1) | 0% (1) |",
        "| 2021Q2 | 50% (2) | - |",
        "Fallback to the reference in 1 of 6 forecasts:",
        "| 1m | 1 | 2021-04-01 | 2021-04-01 |",
        "Health at the end, over 3 subjects and horizons: 2 healthy, 1 degraded.",
        "| crush | 1w | degraded | loss above the expected one |",
        "- 3 steps in 2.5 minutes, without interrupted attempts",
        "- the first step, which fits the whole history: 100 s",
        "- median of the 2 later steps: 25 s",
        "- median of the 1 of them with a reselection: 40 s",
        "- median of the 1 of them without a reselection: 10 s",
    ],
)
def test_the_report_matches_values_worked_by_hand(lines, line):
    assert line in lines


def test_the_report_states_missing_plan_history_and_outcomes(tmp_path):
    warehouse = tmp_path / "warehouse.duckdb"
    worked_by_hand(warehouse)
    with duckdb.connect(str(warehouse)) as con:
        con.execute("drop table monitoring.run_history; delete from forecasts.zl_forecast_accuracy")
        con.execute("alter table forecasts.zl_forecast_ledger drop fallback_reason; drop table monitoring.model_health")
    printed = report(warehouse, {date(2021, 3, 26): 100.0})
    assert "| 1w      | 3    | 0       | - " in printed
    assert not draw(warehouse, tmp_path / "replay.png")


def test_the_chart_is_complete(tmp_path):
    worked_by_hand(tmp_path / "warehouse.duckdb")
    assert draw(tmp_path / "warehouse.duckdb", tmp_path / "replay.png")
    assert (tmp_path / "replay.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.full
def test_a_real_replay_forecasts_each_step_from_its_own_day_and_repeats_nothing(landing, tmp_path):
    days = [date(2023, 4, 21), date(2023, 4, 28), date(2023, 5, 5)]  # two months: a reselection within
    _, settings = dbt_command((), landing=landing, data_dir=tmp_path / "data")
    command = [sys.executable, "-m", "zl_forecast.cli", "replay", "--from", "2023-04-17", "--to", "2023-05-05"]
    command += ["--buckets", "crush"]
    done = subprocess.run(command, **settings, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "data" / "replay" / "2023-04-17_2023-05-05_week_crush"
    ledger = read(folder / "warehouse.duckdb", "from state.forecasts.zl_forecast_ledger order by all").to_pandas()
    assert ledger.groupby("as_of_date").size().to_dict() == dict.fromkeys(days, 4)
    bars = read_table("bars_daily", LandingFolder(landing, "simulated")).to_pandas()
    close = bars[bars["symbol"] == "ZL"].set_index("as_of_date")["close"]
    assert (ledger["last_price"].to_numpy() == close[ledger["as_of_date"]].to_numpy()).all()
    assert set(ledger["data_source"]) == {"simulated"}
    newest = read(folder / "warehouse.duckdb", "select max(as_of_date) as day from staging.stg_landing__bars")
    assert newest["day"].to_pylist() == [days[-1]]
    # the first forecast matures 5 sessions after 21 April
    due = read(
        folder / "warehouse.duckdb", "select count(*) as n from forecasts.zl_forecast_accuracy where horizon_days = 5"
    )
    assert due["n"].to_pylist() == [2]

    record = (folder / "progress.json").read_text()
    again = subprocess.run(command, **settings, text=True, capture_output=True, timeout=120)
    assert again.returncode == 0, again.stderr
    assert "; 3 already done" in again.stdout
    assert (folder / "progress.json").read_text() == record
    assert (folder / "report.md").read_text() in again.stdout

"""The `zl` command: reading writes nothing, a locked file is reported with its process, the plan has a time."""

import re
import subprocess
import sys
from contextlib import contextmanager
from datetime import datetime
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest
import small_snapshot as pages
from conftest import listing
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast import cli, replay
from zl_forecast.databases import open_database
from zl_forecast.errors import DatabaseInUse, ZlForecastError, printable
from zl_forecast.state_plugin import Plugin
from zl_forecast.store import artifacts

EVIL = "\x1b[31mred\x1b]0;title\x07\r\n\u202eback\x9b2J"
PLANNED_AT = "2021-03-16 20:00"


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "data"


def write_plan(
    data_dir,
    action="reselection",
    reason="degraded at 1w since 2021-03-12",
    finished_at=None,
    planned_at=PLANNED_AT,
    stored=(),
):
    """Write a warehouse with a plan: crush has the fits a, b and c, with c in the store at planning time; fed has d."""
    data_dir.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
        con.execute(
            f"""
            create schema if not exists monitoring;
            create schema if not exists tournament;
            create or replace table monitoring.run_plan as
            select *, date '2021-03-16' as as_of_date, 'market' as data_source, timestamp '{planned_at}' as planned_at
            from (values ('crush', '{action}', 'degraded', 2, '{reason}'), ('fed', 'nothing', null, 0, 'no row has changed'))
                as plan (bucket, action, trigger, n_to_train, reason);
            create or replace table tournament.int_plan__fits as
            from (values ('crush', 'a', false), ('crush', 'b', false), ('crush', 'c', true), ('fed', 'd', true)) as fits (bucket, artifact_id, is_fitted)
            """
        )
        if finished_at:
            con.execute(
                f"create or replace table monitoring.finished_build as select timestamp '{PLANNED_AT}' as planned_at, "
                f"timestamp '{finished_at}' as finished_at"
            )
    for name in stored:
        artifacts.write(name, lambda folder: None)


def planned(capsys) -> str:
    assert cli.main(["plan"]) == 0
    return capsys.readouterr().out


def test_before_a_build_the_plan_announces_its_actions(data_dir, capsys):
    write_plan(data_dir, stored="cd")
    printed = planned(capsys)
    assert "Plan as of 2021-03-16, made 2021-03-16 20:00 UTC: what `make build` would do" in printed
    assert re.search(r"^bucket .* to train  reason", printed, flags=re.M)
    assert re.search(r"^crush +reselection +degraded +2  degraded at 1w since 2021-03-12$", printed, flags=re.M)
    assert re.search(r"^fed +nothing +0  no row has changed$", printed, flags=re.M)
    assert "Next: `make build` (2 fits)." in printed


def test_a_refused_fit_still_counts_as_to_be_trained(data_dir, capsys):
    write_plan(data_dir, planned_at="2099-01-01", stored="abcd")
    assert "Next: `make build` (2 fits)." in planned(capsys)


def test_after_a_build_the_plan_reports_what_was_done_and_announces_nothing(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", stored="abcd")
    printed = planned(capsys)
    assert "Done by the build that ended 2021-03-16 20:05 UTC, as of 2021-03-16" in printed
    assert re.search(r"^bucket .* trained  reason", printed, flags=re.M)
    assert re.search(r"^crush +reselection +degraded +2  ", printed, flags=re.M)
    assert "Next: on the same data a build trains nothing." in printed
    assert "from April 2021 on reselects all buckets" in printed
    assert "(2 fits)" not in printed


def test_after_a_build_a_fit_missing_from_the_store_is_announced(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", stored="acd")
    printed = planned(capsys)
    assert re.search(r"^crush +reselection +degraded +1  ", printed, flags=re.M)
    assert "Next: on the same data a build trains the fits missing from the store: crush 1." in printed


def test_a_plan_newer_than_the_last_build_is_announced_as_pending(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", planned_at="2021-03-17 21:00", stored="cd")
    assert "made 2021-03-17 21:00 UTC: what `make build` would do" in planned(capsys)


def test_fits_trained_by_a_killed_build_are_reported_as_trained(data_dir, capsys):
    write_plan(data_dir, stored="acd")
    assert "Next: `make build` (2 fits, 1 of them trained since)." in planned(capsys)


def test_a_degraded_model_is_announced_until_it_is_reselected(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", stored="abcd")
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
        con.execute(
            """
            create table monitoring.model_health as
            select *, date '2021-03-12' as state_since, 'market' as data_source, true as is_newest
            from (values ('crush', 5, '1w', 'degraded'), ('crush', 20, '1m', 'watch'), ('fed', 5, '1w', 'degraded'), ('published', 5, '1w', 'degraded'))
                as health (subject, horizon_days, horizon_code, state);
            create table monitoring.degradations as
            select 'fed' as bucket, 5 as horizon_days, date '2021-03-12' as state_since, 'market' as data_source
            """
        )
    assert "reselects what is degraded (crush at 1w) and is forecast" in planned(capsys)


def test_without_a_plan_of_this_version_the_fix_is_named(data_dir, capsys):
    assert cli.main(["plan"]) == 1
    assert "Run `make plan`." in capsys.readouterr().err
    write_plan(data_dir)
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
        con.execute("alter table monitoring.run_plan drop column planned_at")
    assert cli.main(["plan"]) == 1
    assert "from an older version. Run `make plan`." in capsys.readouterr().err
    with duckdb.connect(str(data_dir / "warehouse.duckdb")) as con:
        con.execute("drop table monitoring.run_plan")
    assert cli.main(["plan"]) == 1
    assert "no plan yet. Run `make plan`." in capsys.readouterr().err


@pytest.mark.parametrize("command", [("summary",), ("plan",), ("leaderboard", "ensemble")])
def test_read_only_commands_write_nothing(command, data_dir, tmp_path, capsys):
    """Regression: without ZL_LANDING_DIR, the summary of a real market simulated one and reported it."""
    pages.publish(
        data_dir, forecast={**pages.FORECAST, "data_source": "market"}, ensemble_leaderboard=pages.ensemble_board()
    )
    write_plan(data_dir, stored="abcd")
    before = listing(tmp_path)
    assert cli.main(list(command)) == 0
    assert listing(tmp_path) == before
    assert "sample/planted" not in capsys.readouterr().out


@pytest.mark.parametrize("command", [("summary",), ("plan",), ("health",), ("leaderboard", "crush")])
def test_read_only_commands_create_no_data_folder(command, data_dir, tmp_path):
    assert cli.main(list(command)) == 1
    assert not data_dir.exists()
    write_plan(data_dir)
    before = listing(tmp_path)
    cli.main(list(command))
    assert listing(tmp_path) == before


@contextmanager
def locked(file, *command: str):
    """Start a process with this command line that opens a DuckDB file for writing; yield its id."""
    script = file.parent / command[0]
    script.write_text(
        f"import sys, duckdb\ncon = duckdb.connect({str(file)!r})\nprint('open', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, script, *command[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"open\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.stdout.close()
        process.wait()


def test_during_a_build_every_command_names_its_process_and_start(data_dir, capsys):
    write_plan(data_dir)
    warehouse = data_dir / "warehouse.duckdb"
    began = datetime.now()
    with locked(warehouse, "dbt", "build", "--quiet") as pid:
        said = f"{warehouse} is in use: a build has been running since {began:%H:%M}, process {pid}. Try again when it has ended."
        for command in (["plan"], ["leaderboard", "crush"]):
            assert cli.main(command) == 1
            assert capsys.readouterr().err == f"zl: {said}\n"
        for replayed in (
            lambda: replay._actions(warehouse),
            lambda: replay.report(warehouse, {}),
            lambda: replay.draw(warehouse, data_dir),
        ):
            with pytest.raises(DatabaseInUse, match=re.escape(said)):
                replayed()
        # dbt prints a DbtRuntimeError as a message, any other error as a traceback
        with pytest.raises(DbtRuntimeError, match=re.escape(said)):
            Plugin("state", {"file": str(data_dir / "state.duckdb")}).update_connection_config(
                SimpleNamespace(path=str(warehouse)), {}
            )
    assert cli.main(["plan"]) == 0


def test_another_program_that_locks_the_file_is_named_by_its_command(data_dir):
    write_plan(data_dir)
    with (
        locked(data_dir / "warehouse.duckdb", "some\x1b[31mtool", "--serve", "x" * 200) as pid,
        pytest.raises(DatabaseInUse) as refused,
        open_database(data_dir / "warehouse.duckdb"),
    ):
        pass
    assert re.search(
        rf"another program has had it open since \d\d:\d\d, process {pid}: .*python.* \.\.\.\. Try again",
        str(refused.value),
    )
    assert printable(str(refused.value)) == str(refused.value)


def test_several_processes_can_read_the_warehouse(data_dir, capsys):
    write_plan(data_dir)
    with open_database(data_dir / "warehouse.duckdb"):
        assert planned(capsys)


def test_a_file_that_is_not_a_database_is_refused_as_such(data_dir):
    data_dir.mkdir()
    (data_dir / "warehouse.duckdb").write_text("not a database" * 1000)
    with (
        pytest.raises(ZlForecastError, match=r"warehouse.duckdb cannot be opened: .*Check its permissions"),
        open_database(data_dir / "warehouse.duckdb"),
    ):
        pass


def test_printable_text_is_unchanged():
    assert printable("Öl, 1 % → ZL=F") == "Öl, 1 % → ZL=F"
    assert printable(None) == "None"


def test_control_characters_are_escaped():
    assert printable(EVIL) == r"\x1b[31mred\x1b]0;title\x07\r\n\u202eback\x9b2J"


def test_text_from_tables_cannot_control_the_terminal(data_dir, capsys):
    board = pages.ensemble_board({5: EVIL}).assign(reason=EVIL, ensemble_method=EVIL)
    pages.publish(
        data_dir,
        forecast={**pages.FORECAST, **dict.fromkeys(("regime", "data_source", "verdict", "ensemble_method", "buckets_offered"), EVIL)},
        run_plan=pd.DataFrame({"bucket": [EVIL], "action": ["reselection"], "trigger": [EVIL]}),
        gx_results=pd.DataFrame({"bucket": [EVIL], "bucket_status": ["quarantined"]}),
        verdicts=pages.RECORD.assign(verdict=EVIL),
        ensemble_leaderboard=board,
    )  # fmt: skip
    write_plan(data_dir, action=EVIL, reason=EVIL)
    for command in (["summary"], ["leaderboard", "ensemble"], ["plan"], ["leaderboard", "no\x1b[31msuch"]):
        cli.main(command)
        printed = "".join(capsys.readouterr())
        assert r"\x1b[31m" in printed
        assert {character for character in printed if not character.isprintable()} == {"\n"}
        assert "\nback" not in printed


def test_the_ensemble_has_no_leaderboard_of_a_tournament(capsys):
    assert cli.main(["leaderboard", "ensemble", "--tournament"]) == 1
    assert "runs one bucket and no ensemble" in capsys.readouterr().err

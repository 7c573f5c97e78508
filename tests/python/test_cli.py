"""The `zl` command: reading writes nothing, a locked file is reported with its process, the plan has a time."""

import ctypes
import json
import os
import pty
import re
import shutil
import subprocess
import sys
import termios
import time
from contextlib import contextmanager, suppress
from datetime import datetime
from types import SimpleNamespace

import duckdb
import pandas as pd
import pytest
import small_snapshot as pages
from conftest import PROJECT, listing
from dbt_common.exceptions import DbtRuntimeError

from zl_forecast import cli, replay
from zl_forecast.databases import open_database
from zl_forecast.errors import DatabaseInUse, ZlForecastError, printable
from zl_forecast.ingest.store import Store
from zl_forecast.state_plugin import Plugin
from zl_forecast.store import artifacts

EVIL = "\x1b[31mred\x1b]0;title\x07\r\n\u202eback\x9b2J"
PLANNED_AT = "2021-03-16 20:00"


@pytest.fixture(autouse=True)
def chicago(monkeypatch):
    """The reader's time zone."""
    with monkeypatch.context() as own:
        own.setenv("TZ", "America/Chicago")
        time.tzset()
        yield
    time.tzset()


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
    assert "Plan as of 2021-03-16, made 2021-03-16 15:00 CDT: what `make build` would do" in printed
    assert re.search(r"^bucket .* to train  reason", printed, flags=re.M)
    assert re.search(r"^crush +reselection +degraded +2  degraded at 1w since 2021-03-12$", printed, flags=re.M)
    assert re.search(r"^fed +nothing +- +0  no row has changed$", printed, flags=re.M)
    assert "Next: `make build` (2 fits)." in printed


def test_a_refused_fit_still_counts_as_to_be_trained(data_dir, capsys):
    write_plan(data_dir, planned_at="2099-01-01", stored="abcd")
    assert "Next: `make build` (2 fits)." in planned(capsys)


def test_after_a_build_the_plan_reports_what_was_done_and_announces_nothing(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", stored="abcd")
    printed = planned(capsys)
    assert "Done by the build that ended 2021-03-16 15:05 CDT, as of 2021-03-16" in printed
    assert re.search(r"^bucket .* trained  reason", printed, flags=re.M)
    assert re.search(r"^crush +reselection +degraded +2  ", printed, flags=re.M)
    assert "on the same data a build trains nothing." in printed
    assert "Next reselection of all buckets: with the first session from April 2021 on." in printed
    assert "(2 fits)" not in printed


def test_after_a_build_a_fit_missing_from_the_store_is_announced(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", stored="acd")
    printed = planned(capsys)
    assert re.search(r"^crush +reselection +degraded +1  ", printed, flags=re.M)
    assert "on the same data a build trains the fits missing from the store: crush 1." in printed


def test_a_plan_newer_than_the_last_build_is_announced_as_pending(data_dir, capsys):
    write_plan(data_dir, finished_at="2021-03-16 20:05", planned_at="2021-03-17 21:00", stored="cd")
    assert "made 2021-03-17 16:00 CDT: what `make build` would do" in planned(capsys)


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


READING = [
    ("summary",),
    ("summary", "--json"),
    ("health",),
    ("plan",),
    ("plan", "--json"),
    ("leaderboard", "crush"),
    ("leaderboard", "ensemble", "--json"),
    ("status",),
    ("status", "--json"),
    ("check",),
]
OF_ANY_FOLDER = ("status", "check")  # commands that need no build


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    """Folder of a snapshot of a build on real data, which tests copy."""
    folder, board = tmp_path_factory.mktemp("snapshot"), pages.board()
    pages.publish(
        folder,
        forecast={**pages.FORECAST, "data_source": "market"},
        ensemble_leaderboard=pages.ensemble_board(),
        leaderboard=board,
        forecast_explanations=pages.explanations(board),
    )
    with duckdb.connect(str(folder / "serving" / "serving.duckdb")) as con:
        con.register("health", HEALTH)
        con.execute("create table monitoring.model_health as from health")
    return folder / "serving"


@pytest.fixture
def published(snapshot, data_dir):
    """A data folder after a build on real data, whose landing files are those of a simulated market."""
    shutil.copytree(snapshot, data_dir / "serving")
    write_plan(data_dir, stored="abcd")
    (data_dir / "landing").mkdir()
    columns = "symbol,as_of_date,open,high,low,close,volume,contract_id"
    (data_dir / "landing" / "bars_daily.csv").write_text(f"{columns}\nZS,2024-03-15,1,1,1,1,1,\n")
    with Store().locked() as store:
        store.begin_run("1", "fred")
    return data_dir


HEALTH = pd.DataFrame(
    {
        "subject": ["published", "crush"],
        "horizon_days": 5,
        "horizon_code": "1w",
        "state": ["healthy", "watch"],
        "state_since": pd.Timestamp("2024-03-08"),
        "week_ending": pd.Timestamp("2024-03-15"),
        "is_newest": True,
        "reason": "a reason",
        **dict.fromkeys(("pinball_skill", "expected_skill", "coverage_80", "statistic", "watch_at"), 0.1),
        **dict.fromkeys(("degraded_at", "share_beyond"), 0.2),
        "data_source": "market",
    }
)


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_commands_write_nothing(command, published, tmp_path, capsys):
    """Regression: without ZL_LANDING_DIR, the summary of a real market simulated one and reported it."""
    before = {path: path.read_bytes() for path in published.rglob("*") if path.is_file()}
    listed = listing(tmp_path)
    assert cli.main([*command]) == (1 if command == ("check",) else 0)  # the file has no rows of ZL
    assert listing(tmp_path) == listed
    assert {path: path.read_bytes() for path in published.rglob("*") if path.is_file()} == before
    assert "sample/planted" not in capsys.readouterr().out


def give_up_writing() -> None:
    """Let root, who may write everywhere, heed permissions; of another user nothing changes."""
    drop_from_bounding_set, dac_override = 24, 1  # linux/prctl.h, linux/capability.h
    ctypes.CDLL(None).prctl(drop_from_bounding_set, dac_override)


@pytest.mark.skipif(
    sys.platform != "linux" and os.geteuid() == 0, reason="root writes everywhere, also to read-only folders"
)
def test_reading_commands_read_a_read_only_folder(published):
    folders = [published, *(path for path in published.rglob("*") if path.is_dir())]
    for path in [*(path for path in published.rglob("*") if path.is_file()), *folders]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    code = (
        "import sys\n"
        "from zl_forecast import cli\n"
        f"try:\n    open({str(published / 'new')!r}, 'w')\n"
        "except PermissionError:\n    print('read-only', file=sys.stderr)\n"
        f"for command in {READING!r}:\n"
        "    print(*command, cli.main(list(command)), file=sys.stderr)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=PROJECT,
            preexec_fn=give_up_writing if sys.platform == "linux" else None,
        )
    finally:
        for path in folders:
            path.chmod(0o755)
    codes = [f"{' '.join(command)} {1 if command == ('check',) else 0}" for command in READING]
    assert done.stderr.splitlines() == ["read-only", *codes]


@pytest.mark.parametrize("command", [command for command in READING if command[0] not in OF_ANY_FOLDER], ids=" ".join)
def test_reading_commands_create_no_data_folder(command, data_dir, tmp_path):
    assert cli.main([*command]) == 1
    assert not data_dir.exists()
    write_plan(data_dir)
    before = listing(tmp_path)
    cli.main([*command])
    assert listing(tmp_path) == before


@pytest.mark.parametrize("command", [("summary",), ("health",), ("leaderboard", "crush"), ("leaderboard", "ensemble")])
def test_reading_the_snapshot_imports_no_pandas(command, published):
    code = f"import sys; from zl_forecast import cli; cli.main({[*command]!r}); print('pandas' in sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PROJECT, check=True)
    assert done.stderr == "False\n"


def test_bare_zl_prints_the_commands_in_groups(capsys):
    assert cli.main([]) == 0
    bare = capsys.readouterr().out
    assert cli.main(["--help"]) == 0
    assert capsys.readouterr().out.strip() == bare.strip()
    groups = re.findall(r"─ (Read|Check|Operate) ─|^│ (\w+) ", bare, flags=re.M)
    assert [group or command for group, command in groups] == [
        *("Read", "summary", "health", "leaderboard", "plan"),
        *("Check", "status", "check"),
        *("Operate", "ingest", "mapping", "build", "notify", "tournament", "replay", "sample", "export"),
    ]


def test_help_and_version_import_no_large_package():
    loaded = (
        "import sys; from zl_forecast import cli; cli.main(['--version']); cli.main(['--help']); cli.main(['health', '--help'])\n"
        "print(*{'duckdb', 'numpy', 'pandas', 'torch', 'dbt'} & sys.modules.keys())"
    )
    printed = subprocess.check_output([sys.executable, "-c", loaded], text=True).splitlines()
    assert re.fullmatch(r"zl-forecast \d+\.\d+\.\d+", printed[0])
    assert printed[-1] == ""


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("sumary",), "No such command 'sumary'. Did you mean 'summary'?"),
        (("summary", "--horizn", "1w"), "No such option: --horizn"),
        (("summary", "--horizon", "2m"), "horizon '2m' does not exist. Known: 1w, 1m, 3m, 6m."),
        (("leaderboard", "crash"), "bucket 'crash' does not exist. Did you mean crush? Known: crush, china, fx,"),
        (
            ("leaderboard", "crush", "--family", "catbost"),
            "family 'catbost' does not exist. Did you mean catboost? Known: ",
        ),
        (("health", "publish"), "subject 'publish' does not exist. Did you mean published? Known: published, crush."),
        (("tournament", "crash"), "bucket 'crash' does not exist. Did you mean crush?"),
        (("tournament", "crush", "--preset", "fast"), "preset 'fast' does not exist. Known: quick, standard, full."),
        (("export", "excel"), "target 'excel' does not exist. Known: postgres, parquet, csv."),
        (("build", "--only-plan", "--reselect"), "--only-plan and --reselect exclude each other."),
        (("build", "--", "--bogus"), "dbt build: No such option"),
        (("leaderboard", "ensemble", "--tournament"), "runs one bucket and no ensemble"),
    ],
)
def test_an_invalid_command_line_has_exit_code_2_and_names_what_is_known(command, says, published, capsys, monkeypatch):
    monkeypatch.setattr("zl_forecast.interruption.end_on_interrupt", lambda: None)
    assert cli.main([*command]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"zl: {says}" if says[0] != "r" else "zl: --tournament")
    assert says in printed.err
    assert "Traceback" not in printed.err


@pytest.mark.parametrize("words", ["1m", "1 month", "one month", "1months", "One-Month"])
def test_horizons_are_codes_or_words(words, published, capsys):
    assert cli.main(["summary", "--horizon", words, "--json"]) == 0
    assert [row["horizon_days"] for row in json.loads(capsys.readouterr().out)["zl_forecast"]] == [20]


def test_json_has_the_names_and_values_of_the_tables(published, capsys):
    assert cli.main(["summary", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["zl_forecast"]
    with duckdb.connect(str(published / "serving" / "serving.duckdb"), read_only=True) as con:
        expected = con.sql("from forecasts.zl_forecast order by horizon_days").df()
    assert list(rows[0]) == list(expected)
    assert [row["p50"] for row in rows] == list(expected["p50"])
    assert rows[0]["fallback_reason"] is None
    assert rows[0]["made_at"] == "2024-03-15T23:10:00Z"


def test_output_that_is_no_terminal_is_plain_and_whole(published, capsys, monkeypatch):
    for name in ("COLUMNS", "LINES"):
        monkeypatch.setenv(name, "40")
    write_plan(published, reason="a long reason " * 30)
    printed = planned(capsys)
    assert "a long reason " * 30 in f"{printed} " or ("a long reason " * 30).strip() in printed
    assert "\x1b" not in printed
    assert all(line == line.rstrip() for line in printed.splitlines())


@pytest.mark.parametrize(("columns", "is_beside"), [(120, True), (60, False)])
def test_on_a_terminal_reasons_wrap_beside_the_table_or_below_their_row(columns, is_beside, data_dir):
    write_plan(data_dir, reason="word " * 30)
    shown = on_a_terminal(["plan"], columns)
    lines = re.sub(r"\x1b\[[\d;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= columns
    row = next(number for number, line in enumerate(lines) if line.startswith("crush"))
    assert ("word" in lines[row]) == is_beside
    assert "word" in lines[row + 1]
    assert "\x1b[1m" in shown
    assert "\x1b[" not in on_a_terminal(["plan"], columns, NO_COLOR="1").replace("\x1b[1m", "").replace(
        "\x1b[0m", ""
    ).replace("\x1b[2m", "")


def on_a_terminal(command: list[str], columns: int, **environment: str) -> str:
    """Run `zl` on a pseudo-terminal of this width; return what it shows."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, columns))
    own = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
    process = subprocess.Popen(
        [sys.executable, "-m", "zl_forecast.cli", *command],
        stdout=end,
        stderr=end,
        env={**own, "TERM": "xterm-256color", **environment},
        cwd=PROJECT,
    )
    os.close(end)
    shown = b""
    with suppress(OSError):  # the other end is closed
        while chunk := os.read(terminal, 4096):
            shown += chunk
    assert process.wait() == 0, shown.decode()
    os.close(terminal)
    return shown.decode()


def test_a_reader_that_ends_early_is_no_error(published):
    command = f"{sys.executable} -m zl_forecast.cli leaderboard ensemble | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


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
        for command in (["plan"], ["plan", "--json"]):
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
    board = pages.ensemble_board().assign(reason=EVIL, ensemble_method=EVIL)
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

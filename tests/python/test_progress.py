"""Progress of a build from a stream of dbt's events: stages, fits, failures at once, notes again at the end."""

import io
import json
import re
import sys
from types import SimpleNamespace

import dbt.flags
import pytest

from zl_forecast import cli, dbt_run
from zl_forecast.cli import build as building
from zl_forecast.cli.progress import PARALLELISM, STAGES, BuildProgress, Durations, stage_of
from zl_forecast.dbt_run import DbtRun, Node, failures
from zl_forecast.workers import PROGRESS

MESSAGE = "Database Error in model mart_crush__daily\n  Binder Error: no column 'closs'\n  compiled code at target/run"


def model(path: str) -> Node:
    return Node(path.rsplit("/", 1)[-1].split(".")[0], "model", f"models/{path}", (path,))


def check(name: str, *paths: str) -> Node:
    return Node(name, "test", f"models/{name}.yml", paths)


NODES = {
    "bars": model("staging/landing/stg_landing__bars.sql"),
    "test_bars": check("not_null_bars", "staging/landing/stg_landing__bars.sql"),
    "mart": model("marts/buckets/mart_crush__daily.sql"),
    "test_mart": check("known_by_mart", "marts/buckets/mart_crush__daily.sql"),
    "fits": model("intermediate/plan/int_plan__fits.py"),
    "crush": model("intermediate/tournament/specialists/specialist_crush.py"),
    "core": model("intermediate/tournament/int_core__forecasts.py"),
    "forecast": model("marts/forecasts/zl_forecast.sql"),
    "test_both": check("assert_core_is_published", "intermediate/tournament/int_core__forecasts.py", "marts/forecasts/zl_forecast.sql"),
    "snapshot": model("marts/monitoring/published_snapshot.py"),
}  # fmt: skip


def event(name: str, level: str = "debug", msg: str = "", **data) -> SimpleNamespace:
    return SimpleNamespace(info=SimpleNamespace(name=name, level=level, msg=msg), data=SimpleNamespace(**data))


def started(key: str) -> SimpleNamespace:
    return event("NodeStart", node_info=SimpleNamespace(unique_id=key))


def finished(key: str, status: str = "success", message: str = "OK") -> SimpleNamespace:
    result = SimpleNamespace(status=status, message=message)
    return event("NodeFinished", node_info=SimpleNamespace(unique_id=key), run_result=result)


class Task:
    """A task of the workers: one competitor is fitted, several forecast."""

    def __init__(self, *competitors: str):
        self.competitors = competitors


def new(tmp_path) -> BuildProgress:
    """Progress that prints to what is standard output now, so it is made in the test itself."""
    return BuildProgress(NODES, Durations(tmp_path / "durations.json"), lambda: {"crush": 3})


def run(progress: BuildProgress, *keys: str) -> None:
    for key in keys:
        progress.follow(started(key))
        progress.follow(finished(key))


def test_tests_count_with_the_latest_stage_of_the_models_that_they_read():
    assert {key: stage_of(node) for key, node in NODES.items()} == {
        **dict.fromkeys(("bars", "test_bars"), "landing files"),
        **dict.fromkeys(("mart", "test_mart"), "features"),
        **{"fits": "plan", "crush": "bucket tournaments", "core": "core"},
        **dict.fromkeys(("forecast", "test_both"), "evaluation"),
        "snapshot": "publication",
    }


def test_every_stage_has_models_of_the_project_and_every_model_with_a_name_of_a_stage_is_in_it():
    def stages(*folders: str) -> set[str]:
        return {
            stage_of(model(str(path.relative_to(dbt_run.project_dir() / top))))
            for top in ("models", "python_models", "seeds")
            for folder in folders
            for path in (dbt_run.project_dir() / top).glob(f"{folder}/*")
            if path.suffix in (".sql", ".py", ".csv")
        }

    assert stages("**") == set(STAGES)
    assert stages("staging/**") == {"landing files"}
    assert stages("marts/buckets") == {"features"}
    assert stages("intermediate/validation") == {"gates"}
    assert stages("intermediate/plan") == {"plan"}
    assert stages("intermediate/tournament/specialists") == {"bucket tournaments"}
    assert stages("intermediate/health", "state/**") == {"evaluation"}


def test_where_output_is_no_terminal_each_finished_stage_is_one_line(tmp_path, capsys):
    progress = new(tmp_path)
    with progress.shown():
        run(progress, "bars")
        assert capsys.readouterr().out == ""
        run(progress, "test_bars", "an exposure", "mart", "test_mart")
    printed = capsys.readouterr().out
    assert re.fullmatch(
        r" *0:00  landing files +1 model, +1 test +done\n +0:00  features +1 model, +1 test +done\n", printed
    )


def test_fits_of_a_bucket_are_counted_against_the_plan(tmp_path, capsys):
    progress = new(tmp_path)
    with progress.shown():
        run(progress, "fits")
        progress.follow(started("crush"))
        PROGRESS.expect(4)
        for number in range(3):
            PROGRESS.step(f"crush oof 20{number:02}-01 ridge", Task("ridge"))
        PROGRESS.step("crush oof 2002-01 ridge garch", Task("ridge", "garch"))  # forecasts with what was fitted
        progress.follow(finished("crush"))
    printed = capsys.readouterr().out
    assert "crush: 3 of 3 fits, 0 s\n" in printed
    assert "so far" not in printed  # what `dbt build` prints without this display
    PROGRESS.expect(1)
    PROGRESS.step("crush live 2020-01 ridge")
    assert "1/1 crush live 2020-01 ridge: " in capsys.readouterr().out


def test_a_failure_is_shown_at_once_with_its_file_and_message(tmp_path, capsys):
    progress = new(tmp_path)
    with progress.shown():
        run(progress, "bars", "test_bars")
        capsys.readouterr()
        progress.follow(started("mart"))
        progress.follow(finished("mart", "error", MESSAGE))
        printed = capsys.readouterr().out
        assert printed.startswith("FAILED: model mart_crush__daily (models/marts/buckets/mart_crush__daily.sql)\n")
        assert printed.splitlines()[1:] == [f"  {line}" for line in MESSAGE.splitlines()]
    progress.conclude()
    printed = capsys.readouterr().out
    assert re.search(r"features +1 model, +1 test +1 FAILED\n", printed)
    assert "Skipped because of what failed: plan (1 of 1), bucket tournaments (1 of 1), core (1 of 1), " in printed


def test_of_an_error_in_python_only_the_message_is_shown(tmp_path, capsys):
    progress = new(tmp_path)
    error = "Runtime Error in model specialist_crush\n  Traceback (most recent call last):\n    File x\n  ValueError: no rows"
    with progress.shown():
        progress.follow(finished("crush", "error", error))
    printed = capsys.readouterr().out
    assert "  ValueError: no rows\n" in printed
    assert "Traceback" not in printed


def test_what_models_and_dbt_report_is_shown_at_once_and_again_at_the_end(tmp_path, capsys):
    progress = new(tmp_path)
    with progress.shown():
        print("landing, warning: series.csv: 3 rows left out")
        progress.follow(event("JinjaLogInfo", "info", "This build goes back to 2021-03-16"))
        progress.follow(event("SomeDeprecation", "warn", "a deprecated setting"))
        progress.follow(event("LogTestResult", "warn", "WARN known_by_mart"))  # NodeFinished says it
        progress.follow(finished("test_mart", "warn", "Got 2 results, configured to warn if != 0"))
        progress.follow(event("ConcurrencyLine", "info", "Concurrency: 2 threads"))
    reported = [
        "landing, warning: series.csv: 3 rows left out",
        "This build goes back to 2021-03-16",
        "a deprecated setting",
        "known_by_mart: Got 2 results, configured to warn if != 0 (models/known_by_mart.yml)",
    ]
    assert [line.strip() for line in capsys.readouterr().out.splitlines()] == reported
    progress.conclude()
    printed = capsys.readouterr().out
    assert "Notes of this build (4):\n" + "".join(f"  {line}\n" for line in reported) in printed


def test_text_of_models_cannot_control_the_terminal(tmp_path, capsys):
    progress = new(tmp_path)
    with progress.shown():
        print("\x1b[31mred\x07")
    assert r"\x1b[31mred\x07" in capsys.readouterr().out


def test_the_time_left_comes_from_the_last_build_and_the_speed_of_fits(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    durations = Durations(tmp_path / "durations.json")
    assert BuildProgress(NODES, durations)._seconds_left(0) is None  # nothing is known
    durations.nodes = {"bars": 10.0, "forecast": 30.0, "of another selection": 99.0}
    progress = BuildProgress(NODES, durations)
    assert progress._seconds_left(0) == 40.0 / PARALLELISM
    progress.follow(started("forecast"))
    now[0] = 10.0
    assert progress._seconds_left(0) == 30.0 / PARALLELISM
    progress.follow(started("crush"))
    for number, now[0] in enumerate((11.0, 13.0, 15.0), start=1):
        progress.count_task("crush oof 2020-01 ridge", Task("ridge"), number)
    assert progress._seconds_left(2) == pytest.approx(25 / PARALLELISM + 2 * 2.0)


def test_durations_are_kept_for_the_next_build_without_the_wait_for_fits(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    file = tmp_path / "durations.json"
    progress = BuildProgress(NODES, Durations(file))
    with progress.shown():
        for key in ("bars", "crush"):
            progress.follow(started(key))
        now[0] = 2.0
        progress.follow(finished("bars"))
        for number, now[0] in enumerate((3.0, 5.0), start=1):
            progress.count_task("crush oof 2020-01 ridge", Task("ridge"), number)
        progress.follow(finished("crush"))
        for key, status in (("mart", "error"), ("forecast", "skipped")):
            progress.follow(started(key))
            progress.follow(finished(key, status))
    kept = Durations(file)
    assert kept.nodes == {"bars": 2.0}
    assert kept.seconds_per_fit == 2.0
    file.write_text("damaged")
    assert Durations(file).nodes == {}
    assert json.loads(json.dumps(kept.nodes)) == {"bars": 2.0}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_last_line_has_fits_and_time_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "CI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "stdout", shown := Terminal())
    durations = Durations(tmp_path / "durations.json")
    durations.nodes = {"core": 30.0}
    progress = BuildProgress(NODES, durations, lambda: {"crush": 3})
    with progress.shown():
        run(progress, "bars", "test_bars", "fits")
        progress.follow(started("crush"))
        progress.count_task("crush oof 2019-01 ridge", Task("ridge"), 1)
        progress._bar.refresh()
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown.getvalue())
    assert "crush: 1 of 3 fits, 3/10 steps, 1/3 fits" in text
    assert "about 20 s left" in text
    assert shown.getvalue().rstrip().endswith("\x1b[2K")  # the line is removed at the end


# -------------------------------------------------------------------------------------------------------------------- zl build


@pytest.fixture
def fake_dbt(tmp_path, monkeypatch):
    """Replace dbt by a stream of events: `dbt.events` are followed, `dbt.ended` is the result."""
    fake = SimpleNamespace(events=[], ended=SimpleNamespace(exception=None, result=SimpleNamespace(results=[])))
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(dbt_run, "prepare", lambda arguments: DbtRun([*arguments], NODES, None))
    monkeypatch.setattr("zl_forecast.interruption.end_on_interrupt", lambda: None)

    def invoke(arguments, follow, manifest):
        fake.arguments = arguments
        for own in fake.events:
            follow(own)
        return fake.ended

    monkeypatch.setattr(dbt_run, "invoke", invoke)
    return fake


def result(name: str, status: str, message: str = "") -> SimpleNamespace:
    return SimpleNamespace(node=SimpleNamespace(name=name), status=status, message=message)


def test_a_failed_build_has_exit_code_1_and_says_what_is_kept_and_what_to_do(fake_dbt, capsys):
    fake_dbt.events = [started("mart"), finished("mart", "error", MESSAGE)]
    fake_dbt.ended.result.results = [result("mart_crush__daily", "error", MESSAGE), result("zl_forecast", "skipped")]
    assert cli.main(["build"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "1 failed. Finished fits are kept in the store, and the last published snapshot is unchanged." in lines
    assert lines[-1].startswith("Next: correct what failed and run the same command again")


def test_an_error_of_dbt_itself_is_shown(fake_dbt, capsys):
    fake_dbt.ended = SimpleNamespace(exception=RuntimeError("the warehouse is in use"), result=None)
    assert failures(fake_dbt.ended) == [("", "the warehouse is in use")]
    assert cli.main(["build"]) == 1
    assert "FAILED: the warehouse is in use" in capsys.readouterr().out


def test_flags_reach_dbt_after_those_of_zl(fake_dbt):
    assert cli.main(["build", "--reselect", "--", "--threads", "1"]) == 0
    assert fake_dbt.arguments == [*building.COMMAND, "--vars", "tournament: always", "--threads", "1"]
    assert cli.main(["build", "--full-refresh"]) == 0
    assert fake_dbt.arguments == [*building.COMMAND, "--full-refresh"]


PROJECT_FILES = {
    "dbt_project.yml": "{name: tiny, version: '1.0', profile: tiny, flags: {send_anonymous_usage_stats: false, log_level_file: info}}",
    "profiles/profiles.yml": "tiny: {target: dev, outputs: {dev: {type: duckdb, path: \"{{ env_var('ZL_DATA_DIR') }}/tiny.duckdb\"}}}",
    "models/one.sql": "{{ log('a note of a macro', info=true) }} select 1 as x",
    "models/two.sql": "select y from {{ ref('one') }}",
    "models/three.sql": "select * from {{ ref('two') }}",
    "models/one.yml": "models: [{name: one, columns: [{name: x, data_tests: [not_null, {accepted_values: {arguments: {values: [2]}}}]}]}]",
}


def test_a_build_of_a_tiny_project_follows_dbt_itself(tmp_path, monkeypatch, capfd):
    for name, text in PROJECT_FILES.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path / "project"))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path / "project" / "profiles"))
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    for name in ("DBT_TARGET_PATH", "DBT_LOG_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(dbt.flags, "GLOBAL_FLAGS", dbt.flags.GLOBAL_FLAGS)  # dbt keeps those of its last command
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("zl_forecast.interruption.end_on_interrupt", lambda: None)
    assert cli.main(["build", "--", "--exclude", "three"]) == 1
    printed, errors = capfd.readouterr()
    assert errors == ""
    assert (
        "FAILED: test accepted_values_one_x__2 (models/one.yml)\n  Got 1 result, configured to fail if != 0\n"
        in printed
    )
    assert re.search(r"evaluation +2 models, +2 tests +1 FAILED\n", printed)
    assert printed.count("a note of a macro") == 2
    assert "START" not in printed
    log = (tmp_path / "project" / "logs" / "dbt.log").read_text()
    assert "START sql view model main.one" in log
    assert (tmp_path / "project" / "target" / "run_results.json").exists()
    assert next(iter(Durations(tmp_path / ".durations.json").nodes)) == "model.tiny.one"
    (tmp_path / "project" / "models" / "one.yml").unlink()
    assert cli.main(["build"]) == 1
    printed = capfd.readouterr().out
    assert "FAILED: model two (models/two.sql)\n  Binder Error: " in printed
    assert 'Referenced column "y" not found' in printed
    assert "3 models" in printed
    (tmp_path / "project" / "models" / "two.sql").write_text("select {{ unknown() }}")
    assert cli.main(["build"]) == 1
    printed = capfd.readouterr()
    assert "'unknown' is undefined" in printed.err + printed.out

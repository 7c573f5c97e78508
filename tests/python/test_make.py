"""`make build` builds only if something has changed since the last successful build of the day."""

import json
import os
import subprocess
import sys
from datetime import datetime

import pytest
from conftest import PROJECT

from zl_forecast import build_record, cli
from zl_forecast.cli import build as building

SETTINGS = ("ZL_LANDING_DIR", "ZL_SAMPLE_WORLD", "ZL_POSTGRES", "DBT_TARGET", "PYTHONPATH")


@pytest.fixture
def make(tmp_path, monkeypatch, capsys):
    """Run `zl build` with a substitute of dbt that writes a build's files; return the output and whether it ran.

    `make.fails` makes it fail; `make.meanwhile` is called while it runs. Keywords are environment variables.
    """
    data, calls = tmp_path / "our data", []
    (data / "landing").mkdir(parents=True)
    for left in ("artifacts", "serving", "gx"):
        (data / left).mkdir()
    monkeypatch.chdir(PROJECT)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ZL_DATA_DIR", str(data))

    def build(arguments, folder) -> int:
        run.meanwhile()
        if run.fails:
            return 1
        if run.writes_databases:
            (data / "warehouse.duckdb").write_text("built")
            (data / "state.duckdb").write_text("made")
        (data / "sample").mkdir(exist_ok=True)
        (data / "sample/bars.csv").write_text("a market")
        calls.append(arguments)
        return 0

    def run(*flags: str, **environment: str) -> tuple[str, bool]:
        before = len(calls)
        with monkeypatch.context() as own:
            for name, value in environment.items():
                own.setenv(name, value)
            code = cli.main(["build", "--", *flags])
        assert code == (1 if run.fails else 0)
        return capsys.readouterr().out, len(calls) > before

    monkeypatch.setattr(building, "run_with_progress", build)
    run.data, run.calls, run.fails, run.writes_databases, run.meanwhile = data, calls, False, True, lambda: None
    return run


def test_a_second_build_without_changes_is_skipped_with_a_message(make):
    assert make()[1]
    said, was_built = make()
    assert not was_built
    assert "nothing was built" in said
    assert said.splitlines()[-1].startswith("Next: ")


@pytest.mark.parametrize(
    "news",
    [
        lambda data: (data / "landing/bars_daily.csv").write_text("a new day"),
        lambda data: (data / "landing/bars_daily.csv").unlink(),
        lambda data: (data / "artifacts/fit/model.pkl").write_text("tampered"),
        lambda data: (data / "artifacts/fit/model.pkl").unlink(),
        lambda data: (data / "warehouse.duckdb").write_text("another dbt command"),
        lambda data: (data / "warehouse.duckdb").unlink(),
        lambda data: (data / "warehouse.duckdb.wal").write_text("killed"),
        lambda data: (data / "state.duckdb").write_text("another forecast"),
        lambda data: (data / "state.duckdb.wal").write_text("killed"),
        # rsync -a and cp -p keep the file's date
        lambda data: os.utime(data / "landing/bars_daily.csv", (1e9, 1e9)),
        lambda data: _rewrite_with_old_date(data / "landing/bars_daily.csv"),
        lambda data: _link(data / "serving/current", "snapshots/older"),
    ],
    ids=[
        "new",
        "gone",
        "tampered",
        "model gone",
        "warehouse changed",
        "warehouse gone",
        "wal",
        "state changed",
        "wal of the state",
        "old date",
        "same date",
        "published",
    ],
)
def test_any_change_triggers_a_build(make, news):
    (make.data / "landing/bars_daily.csv").write_text("a day")
    (make.data / "artifacts/fit").mkdir()
    (make.data / "artifacts/fit/model.pkl").write_text("a model")
    for snapshot in ("older", "newer"):
        (make.data / "serving/snapshots" / snapshot).mkdir(parents=True)
    _link(make.data / "serving/current", "snapshots/newer")
    make()
    assert not make()[1]
    news(make.data)
    assert make()[1]
    assert not make()[1]


def _rewrite_with_old_date(file) -> None:
    before = file.stat()
    file.write_text(file.read_text().upper())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def _link(link, target) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


@pytest.mark.parametrize(
    "news",
    [
        lambda files: (files / "bars_daily.csv").write_text("a new day"),
        lambda files: (files / "series.csv").write_text("a new file"),
        lambda files: (files / "bars_daily.csv").unlink(),
    ],
    ids=["changed", "new", "gone"],
)
@pytest.mark.parametrize("kind", ["data/landing", "ZL_LANDING_DIR"])
def test_a_link_to_the_landing_folder_is_followed(make, tmp_path, kind, news):
    files, link = tmp_path / "files", make.data / "landing" if kind == "data/landing" else tmp_path / "link"
    files.mkdir()
    (files / "bars_daily.csv").write_text("a day")
    (make.data / "landing").rmdir()
    _link(link, files)
    named = {} if kind == "data/landing" else {"ZL_LANDING_DIR": str(link)}
    make(**named)
    assert not make(**named)[1]
    news(files)
    assert make(**named)[1]
    assert not make(**named)[1]


def test_a_link_to_a_landing_file_is_followed(make, tmp_path):
    (tmp_path / "bars.csv").write_text("a day")
    _link(make.data / "landing/bars_daily.csv", tmp_path / "bars.csv")
    make()
    assert not make()[1]
    (tmp_path / "bars.csv").write_text("a new day")
    assert make()[1]
    assert not make()[1]


@pytest.mark.parametrize("linked", ["landing", "landing/bars_daily.csv"])
def test_a_link_with_another_target_is_a_change_even_if_the_file_is_the_same(make, tmp_path, linked):
    for day in ("monday", "tuesday"):
        (tmp_path / day).mkdir()
    (tmp_path / "monday/bars_daily.csv").write_text("a day")
    os.link(tmp_path / "monday/bars_daily.csv", tmp_path / "tuesday/bars_daily.csv")
    inside = "" if linked == "landing" else "bars_daily.csv"
    if linked == "landing":
        (make.data / "landing").rmdir()
    _link(make.data / linked, tmp_path / "monday" / inside)
    make()
    assert not make()[1]
    _link(make.data / linked, tmp_path / "tuesday" / inside)
    assert make()[1]
    assert not make()[1]


def test_circular_links_are_followed_once(make):
    _link(make.data / "landing/again", make.data / "landing")
    make()
    assert not make()[1]


def test_unreadable_paths_count_as_changed(make):
    _link(make.data / "landing/bars_daily.csv", "nowhere")
    make()
    assert make()[1]


def test_pythons_caches_are_not_a_change(make):
    make()
    os.utime(PROJECT / "src/zl_forecast")  # writing the cache changes the folder's date
    cache = PROJECT / "src/zl_forecast/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "made_by_a_test.pyc").write_bytes(b"")
    try:
        assert not make()[1]
    finally:
        (cache / "made_by_a_test.pyc").unlink()


def test_other_settings_or_flags_trigger_a_build(make):
    make()
    assert make(ZL_SAMPLE_WORLD="white")[1]
    assert make(ZL_SAMPLE_WORLD="white", DBT_TARGET="cloud")[1]
    flags = ("--vars", "{preset: full}", "--profile", "zl_forecast")
    assert make(*flags, ZL_SAMPLE_WORLD="white")[1]
    assert make(*flags, ZL_SAMPLE_WORLD="white")[1]  # explicit flags always build
    assert make.calls[-1][-4:] == [*flags]
    assert make(ZL_SAMPLE_WORLD="white")[1]
    assert not make(ZL_SAMPLE_WORLD="white")[1]
    assert make(ZL_SAMPLE_WORLD="white", PYTHONPATH="src")[1]  # the user's own families may be on it
    assert make(ZL_SAMPLE_WORLD="white", PYTHONPATH="src")[1]


def test_the_record_contains_no_values_of_environment_variables(make):
    make(ZL_POSTGRES="password")
    assert "password" not in (make.data / build_record.RECORD).read_text()


def test_another_day_or_a_damaged_record_triggers_a_build(make):
    make()
    file = make.data / build_record.RECORD
    record = json.loads(file.read_text())
    assert record["inputs"]["the day"] == datetime.now().date().isoformat()
    record["inputs"]["the day"] = "2020-02-29"
    for text in (json.dumps(record), "{}", "[]", '{"inputs": '):
        file.write_text(text)
        assert make()[1]
        assert not make()[1]


def test_another_package_version_is_a_change(monkeypatch, tmp_path):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    (tmp_path / "duckdb-1.5.5.dist-info").mkdir()
    before = build_record.read_inputs()
    assert build_record._find_change(before, build_record.read_inputs()) is None
    (tmp_path / "duckdb-1.5.5.dist-info").rename(tmp_path / "duckdb-1.5.6.dist-info")
    assert "environment" in build_record._find_change(before, build_record.read_inputs())


def test_a_failed_build_does_not_change_the_record(make):
    make()
    (make.data / "landing/bars_daily.csv").write_text("damaged")
    before = (make.data / build_record.RECORD).read_text()
    make.fails = True
    assert not make()[1]
    make.fails = False
    assert (make.data / build_record.RECORD).read_text() == before
    assert make()[1]
    assert not make()[1]


@pytest.mark.parametrize("is_refused", [False, True], ids=["alone", "beside a second build that is refused"])
def test_a_file_that_arrives_during_a_build_triggers_the_next_one(make, is_refused):
    def arrive() -> None:
        make.meanwhile = lambda: None
        (make.data / "landing/series.csv").write_text("late")
        if is_refused:
            make.fails = True
            assert not make()[1]
            make.fails = False

    make.meanwhile = arrive
    assert make()[1]
    assert make()[1]
    assert not make()[1]


def test_no_record_is_written_while_another_process_locks_the_warehouse(make):
    """A build that starts before this one's record is written may leave partial results."""
    make()
    (make.data / build_record.RECORD).unlink()
    (make.data / "warehouse.duckdb").unlink()
    opened = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('open', flush=True); input()"
    other = subprocess.Popen(
        [sys.executable, "-c", opened, str(make.data / "warehouse.duckdb")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    other.stdout.readline()
    build_record.keep_record({})
    assert not (make.data / build_record.RECORD).exists()
    other.communicate(b"\n")
    build_record.keep_record({})
    assert (make.data / build_record.RECORD).exists()


def test_a_build_into_another_warehouse_writes_no_record_and_does_not_fail(make):
    make.writes_databases = False
    assert "Build time" in make()[0]
    assert make()[1]


def test_a_relative_data_folder_is_checked(make):
    relative = os.path.relpath(make.data, PROJECT)
    make(ZL_DATA_DIR=relative)
    assert not make(ZL_DATA_DIR=relative)[1]
    (make.data / "artifacts/model.pkl").write_text("tampered")
    assert make(ZL_DATA_DIR=relative)[1]


@pytest.mark.parametrize("is_relative", [False, True], ids=["absolute", "relative"])
def test_a_landing_folder_elsewhere_is_checked(make, tmp_path, is_relative):
    elsewhere = tmp_path / "landing files"
    elsewhere.mkdir()
    named = {"ZL_LANDING_DIR": os.path.relpath(elsewhere, PROJECT) if is_relative else str(elsewhere)}
    make(**named)
    assert not make(**named)[1]
    (elsewhere / "series.csv").write_text("news")
    assert make(**named)[1]
    assert not make(**named)[1]
    elsewhere.rename(tmp_path / "unmounted")
    assert make(**named)[1]  # dbt reports the error
    assert make(**named)[1]
    assert make()[1]


def test_a_deleted_landing_folder_is_a_change(make):
    make()
    assert not make()[1]
    (make.data / "landing").rmdir()
    assert make()[1]
    assert not make()[1]
    (make.data / "sample/bars.csv").unlink()
    assert make()[1]


def test_the_check_imports_no_large_package():
    loaded = "import sys, zl_forecast.build_record; print(*{'duckdb', 'numpy', 'pandas', 'dbt'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", loaded], text=True).split() == []


def test_make_passes_flags_and_presets_on_to_zl(tmp_path):
    (tmp_path / "bin").mkdir()
    (tmp_path / ".installed").touch()
    program = tmp_path / "bin/zl"
    program.write_text('#!/bin/sh\nfor word in "$@"; do echo "$word"; done\n')
    program.chmod(0o755)

    def called(*words: str) -> list[str]:
        command = ["make", "--no-print-directory", *words, f"VENV={tmp_path}"]  # `make test` may be what runs this test
        return subprocess.check_output(command, cwd=PROJECT, text=True).splitlines()

    flags = "DBT_FLAGS=--vars 'preset: full' --threads 1"
    assert called("build", flags) == ["build", "--", "--vars", "preset: full", "--threads", "1"]
    assert called("plan") == ["build", "--only-plan", "--"]
    assert called("reselection", flags)[:4] == ["build", "--reselect", "--", "--vars"]
    assert called("tournament", "BUCKET=crush", "PRESET=quick") == ["tournament", "crush", "--preset", "quick", "--"]
    assert called("replay", "FROM=2021-01-01", "TO=2021-02-01") == [
        *("replay", "--from", "2021-01-01", "--to", "2021-02-01", "--step", "week"),
    ]
    assert called("health") == ["health"]

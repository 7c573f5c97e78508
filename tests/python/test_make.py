"""`make build` builds where something has changed since the last good build of the day, and only there."""

import os
import subprocess

import pytest
from conftest import PROJECT


@pytest.fixture
def make(tmp_path):
    """`make build` with a dbt that leaves what a build leaves; returns what make said, and whether dbt was called."""
    venv, data, calls = tmp_path / "venv", tmp_path / "our data", tmp_path / "calls"
    (venv / "bin").mkdir(parents=True)
    (data / "landing").mkdir(parents=True)
    for left in ("artifacts", "serving", "gx"):
        (data / left).mkdir()
    _script(
        venv / "bin/dbt",
        f'sleep 0.05; echo "$@" >> {calls}; cd "{data}"; echo built > warehouse.duckdb; mkdir -p sample; echo a market > sample/bars.csv; exit ${{FAIL:-0}}',
    )
    _script(venv / "bin/zl", "echo summary")
    (venv / ".installed").touch()

    def run(*arguments: str, **environment: str) -> tuple[str, bool]:
        before = calls.read_text() if calls.exists() else ""
        done = subprocess.run(
            ["make", "build", f"VENV={venv}", *arguments],
            cwd=PROJECT,
            env={"PATH": os.environ["PATH"], "ZL_DATA_DIR": str(data), **environment},
            capture_output=True,
            text=True,
        )
        return done.stdout, (calls.read_text() if calls.exists() else "") != before

    run.data = data
    return run


def _script(file, text: str) -> None:
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)


def test_a_second_build_without_news_is_none_and_says_so(make):
    assert make()[1]
    said, was_built = make()
    assert not was_built
    assert "summary" in said
    assert "nothing was built" in said


@pytest.mark.parametrize(
    "news",
    [
        lambda data: (data / "landing/bars_daily.csv").write_text("a new day"),
        lambda data: (data / "landing/bars_daily.csv").unlink(),
        lambda data: (data / "artifacts/fit/model.pkl").write_text("tampered"),
        lambda data: (data / "artifacts/fit/model.pkl").unlink(),
        lambda data: (data / "warehouse.duckdb").write_text("another dbt command"),
        lambda data: (data / "warehouse.duckdb").unlink(),
        # rsync -a and cp -p give a file the date of its original
        lambda data: os.utime(data / "landing/bars_daily.csv", (1e9, 1e9)),
    ],
    ids=["new", "gone", "tampered", "model gone", "warehouse changed", "warehouse gone", "old date"],
)
def test_whatever_has_changed_is_built_upon(make, news):
    (make.data / "landing/bars_daily.csv").write_text("a day")
    (make.data / "artifacts/fit").mkdir()
    (make.data / "artifacts/fit/model.pkl").write_text("a model")
    make()
    assert not make()[1]
    news(make.data)
    assert make()[1]
    assert not make()[1]


def test_the_caches_that_python_makes_are_no_news(make):
    make()
    os.utime(PROJECT / "src/zl_forecast")  # its folder changes when the cache is made
    cache = PROJECT / "src/zl_forecast/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "made_by_a_test.pyc").write_bytes(b"")
    try:
        assert not make()[1]
    finally:
        (cache / "made_by_a_test.pyc").unlink()


def test_other_settings_flags_or_a_failed_build_are_built_upon(make):
    make()
    assert make(ZL_SAMPLE_WORLD="white")[1]
    flags = """DBT_FLAGS=--vars '{preset: full}' --profile "zl_forecast\""""
    assert make(flags, ZL_SAMPLE_WORLD="white")[1]
    assert make(flags, ZL_SAMPLE_WORLD="white")[1]  # who names flags wants a build
    assert make(ZL_SAMPLE_WORLD="white")[1]
    assert not make(ZL_SAMPLE_WORLD="white")[1]
    assert make(ZL_SAMPLE_WORLD="white", PYTHONPATH="src")[1]  # somebody's own families may be anywhere on it
    assert make(FAIL="1")[1]
    assert make()[1]
    assert not make()[1]


def test_a_file_that_arrives_while_a_build_runs_is_for_the_next_one(make):
    dbt = make.data.parent / "venv/bin/dbt"
    dbt.write_text(dbt.read_text().replace("exit", f"echo late > '{make.data}/landing/series.csv'; exit"))
    (make.data.parent / "venv/.installed").touch()
    make()
    assert make()[1]


def test_a_relative_data_folder_is_looked_at_as_well(make):
    relative = os.path.relpath(make.data, PROJECT)
    make(ZL_DATA_DIR=relative)
    assert not make(ZL_DATA_DIR=relative)[1]
    (make.data / "artifacts/model.pkl").write_text("tampered")
    assert make(ZL_DATA_DIR=relative)[1]


def test_a_landing_folder_elsewhere_is_looked_at(make, tmp_path):
    elsewhere = tmp_path / "landing files"
    elsewhere.mkdir()
    make(ZL_LANDING_DIR=str(elsewhere))
    assert not make(ZL_LANDING_DIR=str(elsewhere))[1]
    (elsewhere / "series.csv").write_text("news")
    assert make(ZL_LANDING_DIR=str(elsewhere))[1]
    assert not make(ZL_LANDING_DIR=str(elsewhere))[1]
    elsewhere.rename(tmp_path / "unmounted")
    assert make(ZL_LANDING_DIR=str(elsewhere))[1]  # dbt says what is wrong
    assert make()[1]


def test_a_landing_folder_that_is_gone_leaves_the_sample_and_that_is_news(make):
    make()
    assert not make()[1]
    (make.data / "landing").rmdir()
    assert make()[1]
    assert not make()[1]
    (make.data / "sample/bars.csv").unlink()
    assert make()[1]

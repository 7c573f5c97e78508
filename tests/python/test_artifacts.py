"""Finished work on disk: found again when it is whole, refused when anything about it changed."""

import os
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from zl_forecast import artifacts, fingerprint
from zl_forecast.errors import ZlForecastError


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))


def _fill(folder):
    (folder / "models").mkdir()
    (folder / "models" / "weights.bin").write_bytes(b"\x00\x01")
    (folder / "forecasts.txt").write_text("43.7")


def _index(sql: str, *values):
    with sqlite3.connect(artifacts.artifacts_dir() / artifacts.INDEX) as index:
        return index.execute(sql, values).fetchall()


def test_what_was_written_is_found():
    assert artifacts.find("abc") is None
    written = artifacts.write("abc", _fill, bucket="crush", family="ridge")
    assert artifacts.find("abc") == written
    assert artifacts.look_up("abc").described == {"bucket": "crush", "family": "ridge"}
    (entry,) = artifacts.entries().to_dict("records")
    assert (entry["artifact_id"], entry["bucket"], entry["family"], len(entry["sha256"])) == (
        "abc",
        "crush",
        "ridge",
        64,
    )


@pytest.mark.parametrize("file", ["models/weights.bin", "forecasts.txt"])
def test_a_changed_file_is_refused_and_named(capsys, file):
    folder = artifacts.write("abc", _fill)
    (folder / file).write_bytes(b"\x00\x02")
    assert artifacts.find("abc") is None
    assert f"abc: {file} was changed" in capsys.readouterr().out


def test_a_missing_file_is_refused_and_named(capsys):
    folder = artifacts.write("abc", _fill)
    (folder / "forecasts.txt").unlink()
    assert artifacts.find("abc") is None
    assert "missing or added: forecasts.txt" in capsys.readouterr().out


def test_a_file_that_the_index_does_not_know_is_refused_and_named(capsys):
    folder = artifacts.write("abc", _fill)
    (folder / "models" / "sitecustomize.py").write_text("print('loaded')")
    assert artifacts.find("abc") is None
    assert "missing or added: models/sitecustomize.py" in capsys.readouterr().out


def test_another_version_of_a_library_is_refused_and_named(monkeypatch, capsys):
    artifacts.write("abc", _fill)
    monkeypatch.setattr(artifacts, "library_versions", lambda: {**fingerprint.library_versions(), "xgboost": "0.1"})
    assert artifacts.find("abc") is None
    assert f"xgboost {fingerprint.library_versions()['xgboost']}, now 0.1" in capsys.readouterr().out


def test_a_folder_that_nobody_entered_is_refused(capsys):
    """Copied from elsewhere, or left by a build that was killed between renaming and entering it."""
    folder = artifacts.write("abc", _fill)
    folder.rename(folder.with_name("def"))
    assert artifacts.find("def") is None
    assert "does not vouch" in capsys.readouterr().out
    assert artifacts.look_up("abc").refused == "its folder is gone"


def test_a_broken_index_is_an_error_that_names_it():
    artifacts.write("abc", _fill)
    (artifacts.artifacts_dir() / artifacts.INDEX).write_bytes(b"no database" * 100)
    with pytest.raises(ZlForecastError, match=r"index.sqlite cannot be used.*Remove the folder"):
        artifacts.find("abc")


def test_many_writers_at_once_leave_every_artifact_sound():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: artifacts.write(f"a{number % 5}", _fill), range(40)))
    assert all(artifacts.find(f"a{number}") for number in range(5))
    assert len(_index("select * from artifacts")) == 5


def _aged(folder, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(folder, (then, then))


def test_what_nobody_used_is_removed_with_its_entry_and_what_is_used_stays():
    old, used, young = (artifacts.write(name, _fill, bucket="crush") for name in ("old", "used", "young"))
    for folder in (old, used):
        _aged(folder, 101)
    _aged(young, 99)
    artifacts.remember("table", pd.DataFrame({"a": [1]}))
    _aged(artifacts.artifacts_dir() / "table", 4)
    assert artifacts.find("used")
    assert artifacts.prune() == 2
    assert not old.exists()
    assert used.exists()
    assert young.exists()
    assert {row[0] for row in _index("select artifact_id from artifacts")} == {"used", "young"}


def test_what_an_interrupted_write_left_is_removed_after_a_day():
    root = artifacts.artifacts_dir()
    for name, days in ((".writing-old", 2), (".writing-now", 0), ("unentered", 2)):
        (root / name).mkdir(parents=True)
        _aged(root / name, days)
    assert artifacts.prune() == 2
    assert [f.name for f in root.iterdir() if f.is_dir()] == [".writing-now"]


def test_a_table_is_remembered_as_it_was():
    table = pd.DataFrame({"a": ["x", None], "b": [0.1, float("nan")], "c": pd.to_datetime(["2020-01-01", None])})
    assert artifacts.remembered("abc") is None
    artifacts.remember("abc", table)
    pd.testing.assert_frame_equal(artifacts.remembered("abc"), table)


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing_under_the_final_name_nor_beside_it(stop):
    def fill(folder):
        _fill(folder)
        raise stop

    with pytest.raises(stop):
        artifacts.write("abc", fill)
    assert artifacts.find("abc") is None
    assert not any(f.is_dir() for f in artifacts.artifacts_dir().iterdir())


def test_the_final_name_appears_only_once_everything_is_in_it():
    def fill(folder):
        _fill(folder)
        assert not (artifacts.artifacts_dir() / "abc").exists()

    artifacts.write("abc", fill)
    assert artifacts.find("abc") is not None


def test_an_interrupted_second_write_leaves_the_first_in_place():
    folder = artifacts.write("abc", _fill)
    with pytest.raises(ZeroDivisionError):
        artifacts.write("abc", lambda folder: 1 / 0)
    assert artifacts.find("abc") == folder


def test_a_refused_copy_is_replaced_by_the_new_one():
    folder = artifacts.write("abc", _fill)
    (folder / "forecasts.txt").write_text("-43.7")
    artifacts.write("abc", _fill)
    assert (artifacts.find("abc") / "forecasts.txt").read_text() == "43.7"

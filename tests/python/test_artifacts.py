"""Finished work on disk: found again when it is whole, refused when anything about it changed."""

import json

import pytest

from zl_forecast import artifacts, fingerprint


@pytest.fixture(autouse=True)
def own_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))


def _fill(folder):
    (folder / "models").mkdir()
    (folder / "models" / "weights.bin").write_bytes(b"\x00\x01")
    (folder / "forecasts.txt").write_text("43.7")


def _manifest(folder):
    return json.loads((folder / artifacts.MANIFEST).read_text())


def test_what_was_written_is_found():
    assert artifacts.find("abc") is None
    written = artifacts.write("abc", _fill)
    assert artifacts.find("abc") == written
    assert set(_manifest(written)["sha256"]) == {"models/weights.bin", "forecasts.txt"}


@pytest.mark.parametrize("file", ["models/weights.bin", "forecasts.txt"])
def test_a_changed_file_is_refused_and_named(capsys, file):
    folder = artifacts.write("abc", _fill)
    (folder / file).write_bytes(b"\x00\x02")
    assert artifacts.find("abc") is None
    assert f"abc: {file} was changed" in capsys.readouterr().out


def test_a_missing_file_is_refused(capsys):
    folder = artifacts.write("abc", _fill)
    (folder / "forecasts.txt").unlink()
    assert artifacts.find("abc") is None
    assert "missing or added" in capsys.readouterr().out


def test_a_file_that_the_manifest_does_not_know_is_refused(capsys):
    folder = artifacts.write("abc", _fill)
    (folder / "models" / "sitecustomize.py").write_text("print('loaded')")
    assert artifacts.find("abc") is None
    assert "missing or added" in capsys.readouterr().out


def test_another_version_of_a_library_is_refused(monkeypatch):
    artifacts.write("abc", _fill)
    monkeypatch.setattr(artifacts, "library_versions", lambda: {**fingerprint.library_versions(), "xgboost": "0.1"})
    assert artifacts.find("abc") is None


@pytest.mark.parametrize("content", ["", '{"versions": {'], ids=["empty", "half_written"])
def test_a_half_written_manifest_is_as_good_as_none(content):
    folder = artifacts.write("abc", _fill)
    (folder / artifacts.MANIFEST).write_text(content)
    assert artifacts.find("abc") is None


def test_a_folder_without_manifest_is_as_good_as_none():
    folder = artifacts.write("abc", _fill)
    (folder / artifacts.MANIFEST).unlink()
    assert artifacts.find("abc") is None


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_nothing_under_the_final_name_nor_beside_it(stop):
    def fill(folder):
        _fill(folder)
        raise stop

    with pytest.raises(stop):
        artifacts.write("abc", fill)
    assert artifacts.find("abc") is None
    assert list(artifacts.artifacts_dir().iterdir()) == []


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


def test_a_folder_that_another_process_finishes_meanwhile_does_not_stop_a_write():
    root = artifacts.artifacts_dir()
    root.mkdir(parents=True)
    (root / ".writing-renamed").symlink_to("gone")  # listed, but no longer there when looked at
    artifacts.write("abc", _fill)
    assert artifacts.find("abc") is not None

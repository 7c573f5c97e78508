"""The artifact store finds complete results and refuses changed ones."""

import errno
import json
import os
import pickle
import re
import shutil
import socket
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from zl_forecast.errors import ZlForecastError
from zl_forecast.store import artifacts, fingerprint, write_table


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


def test_a_written_artifact_is_found():
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


def test_a_look_up_postpones_removal_unless_renew_is_false():
    written = artifacts.write("abc", _fill)
    os.utime(written, (0, 0))
    assert artifacts.look_up("abc", renew=False).folder == written
    assert written.stat().st_mtime == 0
    assert artifacts.look_up("abc").folder == written
    assert written.stat().st_mtime > 0


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


def test_a_file_missing_from_the_index_is_refused_and_named(capsys):
    folder = artifacts.write("abc", _fill)
    (folder / "models" / "sitecustomize.py").write_text("print('loaded')")
    assert artifacts.find("abc") is None
    assert "missing or added: models/sitecustomize.py" in capsys.readouterr().out


class _Executed:
    """Creates a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("executed",)


def _link_to_a_folder_with_a_pickle(place):
    outside = artifacts.artifacts_dir().parent / "outside"
    outside.mkdir()
    (outside / "model.pkl").write_bytes(pickle.dumps(_Executed()))
    place.symlink_to(outside)


def _link_to_a_file(place):
    place.symlink_to("../forecasts.txt")


def _socket(place):
    with socket.socket(socket.AF_UNIX) as own:
        own.bind(os.path.relpath(place))


@pytest.mark.parametrize(
    ("plant", "text"),
    [
        (_link_to_a_folder_with_a_pickle, "models/planted is a link to .*outside"),
        (_link_to_a_file, "models/planted is a link to ../forecasts.txt"),
        (lambda place: place.symlink_to("nowhere"), "models/planted is a link to nowhere"),
        (lambda place: place.symlink_to("."), "models/planted is a link to ."),
        (os.mkfifo, "models/planted is a named pipe"),
        (_socket, "models/planted is a socket"),
        (os.mkdir, "models/planted is an empty folder"),
        (lambda place: os.makedirs(place / "deep" / "er"), "models/planted/deep/er is an empty folder"),
        (lambda place: place.write_bytes(b""), "files missing or added: models/planted"),
        (
            lambda place: place.with_name("two\nlines\x1b[31m").mkdir(),
            r"'models/two\\nlines\\x1b\[31m' is an empty folder",
        ),
        (lambda place: (shutil.rmtree(place.parent), os.mkfifo(place.parent)), "models is a named pipe"),
        (
            lambda place: ((place.parent / "weights.bin").unlink(), os.mkfifo(place.parent / "weights.bin")),
            "models/weights.bin is a named pipe",
        ),
    ],
)
def test_other_entries_in_an_artifact_are_refused_and_named_and_never_opened(
    monkeypatch, tmp_path, capsys, plant, text
):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    folder = artifacts.write("abc", _fill)
    plant(folder / "models" / "planted")
    assert artifacts.find("abc") is None
    shown = capsys.readouterr().out
    assert re.search(f"^Artifact abc: {text}.*; recomputing$", shown)
    artifacts.write("abc", _fill)
    assert artifacts.find("abc") == folder


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("part", ["forecasts.txt", "models", "."])
def test_an_unreadable_artifact_is_refused_and_named(part):
    folder = artifacts.write("abc", _fill)
    (folder / part).chmod(0)
    assert artifacts.look_up("abc").refused == f"{part} is not readable: Permission denied"
    (folder / part).chmod(0o755)
    assert artifacts.find("abc")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_store_is_readable_and_a_write_names_the_missing_permission():
    written = artifacts.write("abc", _fill)
    root = artifacts.artifacts_dir()
    for path in (root, root / artifacts.INDEX):
        path.chmod(path.stat().st_mode & 0o555)
    os.utime(written, (0, 0))
    assert artifacts.find("abc") == written
    with pytest.raises(
        ZlForecastError, match=r"def could not be written .*Permission denied.* give this user write access"
    ):
        artifacts.write("def", _fill)
    os.utime(written, (0, 0))
    with pytest.raises(ZlForecastError, match=r"readonly database\. Give this user write access to it and its folder"):
        artifacts.prune()
    root.chmod(0o755)
    (root / artifacts.INDEX).chmod(0)
    with pytest.raises(ZlForecastError, match=r"unable to open database file\. Give this user read and write access"):
        artifacts.find("abc")


@pytest.mark.parametrize("move", ["inside", "outside", "nowhere", "pipe", "file"])
def test_a_link_or_file_in_place_of_the_folder_is_replaced_and_its_target_is_kept(tmp_path, move):
    folder = artifacts.write("abc", _fill)
    copy = {"inside": folder.with_name("copy"), "outside": tmp_path / "copy"}.get(move)
    if copy is None:
        shutil.rmtree(folder)
    else:
        folder.rename(copy)
    if move == "pipe":
        os.mkfifo(folder)
    elif move == "file":
        folder.write_text("43.7")
    else:
        folder.symlink_to(copy or "nowhere")
    assert re.match("its path is a (link .*|named pipe|file), not a folder", artifacts.look_up("abc").refused)
    artifacts.write("abc", _fill)
    assert artifacts.find("abc") == folder
    assert not folder.is_symlink()
    assert copy is None or (copy / "forecasts.txt").exists()


def test_an_unused_link_is_removed_and_its_target_is_kept(tmp_path):
    artifacts.write("abc", _fill)
    (tmp_path / "outside").mkdir()
    link = artifacts.artifacts_dir() / "link"
    link.symlink_to(tmp_path / "outside")
    os.utime(link, (0, 0), follow_symlinks=False)
    assert artifacts.prune() == 1
    assert not link.is_symlink()
    assert (tmp_path / "outside").is_dir()
    assert artifacts.find("abc")


@pytest.mark.parametrize("make", [lambda place: place.symlink_to("forecasts.txt"), os.mkfifo])
def test_an_artifact_with_special_files_is_not_written(make):
    with pytest.raises(ZlForecastError, match=r"abc: odd is a .*only plain files can be stored"):
        artifacts.write("abc", lambda folder: (_fill(folder), make(folder / "odd")))
    assert not any(f.is_dir() for f in artifacts.artifacts_dir().iterdir())


def test_an_empty_folder_that_was_written_is_part_of_the_artifact():
    def fill(folder):
        _fill(folder)
        (folder / "logs").mkdir()

    folder = artifacts.write("abc", fill)
    assert artifacts.find("abc")
    (folder / "logs").rmdir()
    assert artifacts.look_up("abc").refused == "files missing or added: logs"


def test_another_version_of_a_library_is_refused_and_named(capsys):
    artifacts.write("abc", _fill)
    assert json.loads(artifacts.entries()["library_versions"].item()) == fingerprint.library_versions()
    now = fingerprint.version_of("xgboost")
    artifacts.write("abc", _fill, versions={"xgboost": "0.1", "numpy": fingerprint.version_of("numpy"), "gone": "1.0"})
    assert artifacts.find("abc") is None
    assert (
        f"written with other library versions: xgboost 0.1, now {now}, gone 1.0, now absent" in capsys.readouterr().out
    )


def test_a_folder_without_an_index_entry_is_refused(capsys):
    """For example copied, or left by a build that was killed between renaming and writing the index entry."""
    folder = artifacts.write("abc", _fill)
    folder.rename(folder.with_name("def"))
    assert artifacts.find("def") is None
    assert "not in the index" in capsys.readouterr().out
    assert artifacts.look_up("abc").refused == "its folder is missing"


def test_a_broken_index_is_an_error_that_names_it():
    artifacts.write("abc", _fill)
    (artifacts.artifacts_dir() / artifacts.INDEX).write_bytes(b"no database" * 100)
    with pytest.raises(ZlForecastError, match=r"index.sqlite cannot be used.*Remove the folder"):
        artifacts.find("abc")


@pytest.mark.parametrize("column", ["described", "versions", "files", "sha256", "written_at", "artifact_id"])
@pytest.mark.parametrize("value", [None, "{", '{"a": null}', b"\xff\xfe", "[" * 100_000])
def test_a_damaged_index_row_is_refused_and_recomputed(capsys, column, value):
    artifacts.write("sound", _fill, bucket="crush")
    artifacts.write("abc", _fill, bucket="crush")
    _index(f"update artifacts set {column} = ? where artifact_id = 'abc'", value)
    assert artifacts.find("abc") is None
    assert "Artifact abc: " in capsys.readouterr().out
    if column != "artifact_id":
        assert artifacts.entries()["artifact_id"].tolist() == ["sound"]
        artifacts.prune()
        assert [row[0] for row in _index("select artifact_id from artifacts")] == ["sound"]
    artifacts.write("abc", _fill, bucket="crush")
    assert artifacts.find("abc")
    artifacts.prune()
    assert artifacts.find("sound")
    assert sorted(artifacts.entries()["artifact_id"]) == ["abc", "sound"]


def _another_schema(index):
    with sqlite3.connect(index) as con:
        con.execute("create table artifacts (artifact_id text primary key, digest text)")


def _without_key(index):
    with sqlite3.connect(index) as con:
        con.execute(
            "create table artifacts (artifact_id text, described text, versions text, files text, sha256 text, written_at text)"
        )


def _a_view(index):
    with sqlite3.connect(index) as con:
        con.execute("create view artifacts as select 'abc' as artifact_id")


@pytest.mark.parametrize(
    ("put", "text"),
    [
        (os.mkdir, "it is a folder"),
        (os.mkfifo, "it is a named pipe"),
        (_another_schema, "its table has the columns artifact_id text primary key, digest text"),
        (_without_key, "its table has the columns artifact_id text, described"),
        (_a_view, "its table has the columns artifact_id"),
        (lambda index: index.write_bytes(b"no database" * 100), "file is not a database"),
    ],
)
@pytest.mark.parametrize(
    "use", [lambda: artifacts.look_up("abc"), artifacts.entries, artifacts.prune, lambda: artifacts.write("abc", _fill)]
)
def test_an_invalid_index_is_an_error_with_a_fix_that_works(put, text, use):
    root = artifacts.artifacts_dir()
    root.mkdir()
    put(root / artifacts.INDEX)
    with pytest.raises(ZlForecastError, match=rf"index.sqlite cannot be used: {text}.* Remove the folder {root};"):
        use()
    shutil.rmtree(root)
    use()


def test_an_index_locked_by_another_build_is_reported_as_in_use(monkeypatch):
    artifacts.write("abc", _fill)
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: connect(*args, **{**kwargs, "timeout": 0.1}))
    with connect(artifacts.artifacts_dir() / artifacts.INDEX) as other:
        other.execute("begin exclusive")
        with pytest.raises(ZlForecastError, match=r"cannot be used: database is locked\. Another build has been"):
            artifacts.find("abc")
        other.rollback()
    assert artifacts.find("abc")


def test_a_full_disk_is_not_reported_as_a_damaged_index(monkeypatch):
    artifacts.write("small", _fill)
    connect = sqlite3.connect

    def connect_to_a_full_disk(*args, **kwargs):
        index = connect(*args, **kwargs)
        index.execute("pragma max_page_count = 1")  # no more than the current size
        return index

    def fill(folder):
        for number in range(300):
            (folder / f"{number}.txt").write_text("43.7")

    monkeypatch.setattr(sqlite3, "connect", connect_to_a_full_disk)
    with pytest.raises(ZlForecastError, match=r"cannot be used: database or disk is full\. Free some disk space"):
        artifacts.write("large", fill)
    assert artifacts.find("large") is None
    assert artifacts.find("small")


def test_a_store_that_is_a_file_is_an_error_that_names_it():
    artifacts.artifacts_dir().write_text("no folder")
    with pytest.raises(ZlForecastError, match=r"artifacts cannot be used.*must be a folder"):
        artifacts.find("abc")


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), shutil.Error([("a", "b", "No space left on device")])]
)
def test_a_full_disk_is_an_error_with_a_fix_and_leaves_no_files(error):
    def fill(folder):
        _fill(folder)
        raise error

    with pytest.raises(
        ZlForecastError, match=r"artifact abc could not be written into .*No space left.* Free some disk"
    ):
        artifacts.write("abc", fill)
    assert not any(f.is_dir() for f in artifacts.artifacts_dir().iterdir())


def test_an_error_of_the_work_itself_is_not_reported_as_a_disk_error():
    def fill(folder):
        raise TimeoutError("a lock was not released")

    with pytest.raises(TimeoutError, match="a lock was not released"):
        artifacts.write("abc", fill)


def test_concurrent_writers_leave_every_artifact_valid():
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: artifacts.write(f"a{number % 5}", _fill), range(40)))
    assert all(artifacts.find(f"a{number}") for number in range(5))
    assert len(_index("select * from artifacts")) == 5


def _aged(folder, days: float) -> None:
    then = time.time() - days * 86_400
    os.utime(folder, (then, then))


def test_unused_artifacts_are_removed_with_their_entries_and_used_ones_stay():
    old, used, young = (artifacts.write(name, _fill, bucket="crush") for name in ("old", "used", "young"))
    for folder in (old, used):
        _aged(folder, 101)
    _aged(young, 99)
    write_table("table", pd.DataFrame({"a": [1]}))
    _aged(artifacts.artifacts_dir() / "table", 4)
    assert artifacts.find("used")
    assert artifacts.prune() == 2
    assert not old.exists()
    assert used.exists()
    assert young.exists()
    assert {row[0] for row in _index("select artifact_id from artifacts")} == {"used", "young"}


def test_leftovers_of_an_interrupted_write_are_removed_after_a_day():
    root = artifacts.artifacts_dir()
    for name, days in ((".writing-old", 2), (".writing-now", 0), ("unentered", 2)):
        (root / name).mkdir(parents=True)
        _aged(root / name, days)
    assert artifacts.prune() == 2
    assert [f.name for f in root.iterdir() if f.is_dir()] == [".writing-now"]


@pytest.mark.parametrize("stop", [ValueError, KeyboardInterrupt])
def test_an_interrupted_write_leaves_no_final_and_no_temporary_folder(stop):
    def fill(folder):
        _fill(folder)
        raise stop

    with pytest.raises(stop):
        artifacts.write("abc", fill)
    assert artifacts.find("abc") is None
    assert not any(f.is_dir() for f in artifacts.artifacts_dir().iterdir())


def test_the_final_folder_appears_only_when_complete():
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

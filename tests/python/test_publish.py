"""The published snapshot is complete or not published, and readable while it changes."""

import fcntl
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest

from zl_forecast import publish as publishing
from zl_forecast.errors import ZlForecastError
from zl_forecast.publish import publish


@pytest.fixture
def serving(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(publishing.page, "render", lambda con: "<html></html>")
    return tmp_path / "serving"


def tables(con, price: float, rows: int = 1000) -> dict:
    """Two tables with the same number in every row, so that a mixture of two snapshots is visible."""
    return {
        "forecasts.zl_forecast": con.sql(f"select i as n, {price}::double as price from range({rows}) t(i)"),
        "monitoring.verdicts": con.sql(f"select {price}::double as price from range({rows})"),
    }


def prices(serving) -> list:
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        return reader.sql("select distinct price from forecasts.zl_forecast").fetchall()


def folders(serving) -> list[str]:
    return sorted(folder.name for folder in (serving / "snapshots").iterdir())


def test_the_snapshot_has_every_table_in_duckdb_and_parquet(serving):
    facts = publish(tables(duckdb.connect(), price=42.0))
    assert facts["n_rows"].tolist() == [1000, 1000]
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as con:
        assert con.sql("select sum(price) from forecasts.zl_forecast").fetchone() == (42_000.0,)
    assert pd.read_parquet(serving / "parquet" / "monitoring.verdicts.parquet")["price"].eq(42.0).all()


def test_same_content_is_published_once(serving):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    before = (serving / "serving.duckdb").stat().st_mtime_ns
    publish(tables(con, price=1.0))
    assert (serving / "serving.duckdb").stat().st_mtime_ns == before
    assert len(list((serving / "snapshots").iterdir())) == 1


def test_row_order_does_not_make_a_new_snapshot(serving):
    con = duckdb.connect()
    up = publish({"forecasts.zl_forecast": con.sql("select i from range(100) t(i) order by i")})
    down = publish({"forecasts.zl_forecast": con.sql("select i from range(100) t(i) order by i desc")})
    assert up["snapshot_id"].tolist() == down["snapshot_id"].tolist()


def test_a_thousandth_of_a_cent_makes_a_new_snapshot_and_rounding_noise_does_not(serving):
    con = duckdb.connect()
    ids = [publish(tables(con, price=price))["snapshot_id"].iloc[0] for price in (43.71, 43.711, 43.711 + 1e-12)]
    assert ids[0] != ids[1] == ids[2]


def test_a_column_of_another_name_makes_a_new_snapshot(serving):
    con = duckdb.connect()
    ids = [publish({"forecasts.zl_forecast": con.sql(f"select 1 as {c}")})["snapshot_id"][0] for c in ("loss", "skill")]
    assert ids[0] != ids[1]


def test_another_page_makes_a_new_snapshot(serving, monkeypatch):
    before = publish(tables(duckdb.connect(), price=1.0))["snapshot_id"][0]
    monkeypatch.setattr(publishing.page, "code_fingerprint", lambda: "another page")
    assert publish(tables(duckdb.connect(), price=1.0))["snapshot_id"][0] != before


# ---------- descriptions

TEXTS = {"forecasts.zl_forecast": {"": "The newest forecast.", "n": "Row's number.", "price": "Price, cents/lb."}}


def test_descriptions_are_comments_in_duckdb_and_metadata_in_parquet(serving):
    publish(tables(duckdb.connect(), price=1.0), TEXTS)
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as con:
        assert publishing.read_descriptions(con) == TEXTS
    file = serving / "parquet" / "forecasts.zl_forecast.parquet"
    schema = pq.read_schema(file)
    texts = {field.name: field.metadata[b"description"].decode() for field in schema}
    assert {"": schema.metadata[b"description"].decode(), **texts} == TEXTS["forecasts.zl_forecast"]
    assert pd.read_parquet(file)["price"].eq(1.0).all()
    assert duckdb.sql(f"select sum(price) from '{file}'").fetchone() == (1000.0,)


def test_a_better_text_reaches_unchanged_data(serving):
    con = duckdb.connect()
    before = publish(tables(con, price=1.0), TEXTS)["snapshot_id"][0]
    texts = {"forecasts.zl_forecast": {**TEXTS["forecasts.zl_forecast"], "n": "Number of the row, from 0."}}
    assert publish(tables(con, price=1.0), texts)["snapshot_id"][0] != before
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        assert publishing.read_descriptions(reader) == texts
    assert publish(tables(con, price=1.0), TEXTS)["snapshot_id"][0] == before


def test_descriptions_of_tables_that_are_not_published_make_no_new_snapshot(serving):
    con = duckdb.connect()
    before = publish(tables(con, price=1.0), TEXTS)["snapshot_id"][0]
    others = {"monitoring.finished_build": {"": "The last build."}}
    assert publish(tables(con, price=1.0), TEXTS | others)["snapshot_id"][0] == before


# ---------- permissions and digests


@pytest.fixture
def umask_077():
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_other_users_can_read_but_not_write_the_snapshot_under_any_umask(serving, umask_077, capsys):
    publish(tables(duckdb.connect(), price=1.0))
    seen = {path: path.stat().st_mode & 0o777 for path in (serving, *serving.rglob("*")) if path.name != ".lock"}
    assert len(seen) > 8
    assert set(seen.values()) == {0o755, 0o444}
    assert all((mode == 0o755) == path.is_dir() for path, mode in seen.items())
    assert f"Other users cannot enter {serving.parent}: run `chmod o+x`" in capsys.readouterr().out
    assert serving.parent.stat().st_mode & 0o077 == 0


def test_folders_closed_by_an_earlier_version_are_made_readable(serving):
    (serving / "snapshots").mkdir(parents=True, mode=0o700)
    serving.chmod(0o700)
    publish(tables(duckdb.connect(), price=1.0))
    assert {folder.stat().st_mode & 0o777 for folder in (serving, serving / "snapshots")} == {0o755}


def test_the_manifest_has_the_digest_of_every_other_file(serving):
    publish(tables(duckdb.connect(), price=1.0))
    current = serving / "current"
    manifest = json.loads((current / "manifest.json").read_text())
    files = [path for path in current.rglob("*") if path.is_file() and path.name != "manifest.json"]
    assert manifest["files"] == {
        path.relative_to(current).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert [table["n_rows"] for table in manifest["tables"]] == [1000, 1000]


def _update_a_row(snapshot: Path) -> None:
    with duckdb.connect(str(snapshot / "serving.duckdb")) as con:
        con.execute("update forecasts.zl_forecast set price = 99 where n = 1")


def _drop_a_table(snapshot: Path) -> None:
    with duckdb.connect(str(snapshot / "serving.duckdb")) as con:
        con.execute("drop table monitoring.verdicts")


def _claim_other_rows(snapshot: Path) -> None:
    manifest = (snapshot / "manifest.json").read_text()
    (snapshot / "manifest.json").write_text(manifest.replace("1000", "1001"))


def _as_an_earlier_version(snapshot: Path) -> None:
    (snapshot / "manifest.json").write_text('[{"table_schema": "forecasts", "n_rows": 1000}]')


def _link_to_a_copy(snapshot: Path) -> None:
    shutil.copy(snapshot / "report.html", snapshot.parents[1] / "copy.html")
    (snapshot / "report.html").unlink()
    (snapshot / "report.html").symlink_to(snapshot.parents[1] / "copy.html")


@pytest.mark.parametrize(
    ("damage", "printed"),
    [
        (_update_a_row, "serving.duckdb was changed since it was written"),
        (_drop_a_table, "serving.duckdb was changed since it was written"),
        (lambda s: (s / "report.html").write_text("<html>buy</html>"), "report.html was changed since it was written"),
        (lambda s: (s / "parquet/monitoring.verdicts.parquet").unlink(), "files missing or added: parquet/monitoring"),
        (lambda s: (s / "serving.duckdb.wal").touch(), "files missing or added: serving.duckdb.wal"),
        (lambda s: (s / "extracts").mkdir(), "extracts is an empty folder"),
        (lambda s: os.mkfifo(s / "pipe"), "pipe is a named pipe"),
        (_link_to_a_copy, "report.html is a link to"),
        (_claim_other_rows, "manifest.json was changed since it was written"),
        (_as_an_earlier_version, "manifest.json was changed since it was written"),
        (lambda s: (s / "manifest.json").unlink(), "it has no manifest.json"),
        (lambda s: ((s / "manifest.json").unlink(), os.mkfifo(s / "manifest.json")), "it has no manifest.json"),
    ],
)
def test_a_changed_snapshot_does_not_count_as_published(serving, capsys, damage, printed):
    con = duckdb.connect()
    snapshot_id = publish(tables(con, price=1.0))["snapshot_id"][0]
    damaged = (serving / "current").resolve()
    for path in damaged.rglob("*"):
        path.chmod(0o755)  # root does not need this
    damage(damaged)
    opened = (damaged / "serving.duckdb").open("rb")  # a reader with the file open
    assert publish(tables(con, price=1.0))["snapshot_id"][0] == snapshot_id
    assert f"Snapshot {snapshot_id}: {printed}" in capsys.readouterr().out
    assert prices(serving) == [(1.0,)]
    assert pd.read_parquet(serving / "parquet" / "monitoring.verdicts.parquet")["price"].eq(1.0).all()
    assert (serving / "report.html").read_text() == "<html></html>"
    assert opened.read(16)
    opened.close()
    assert publishing._fault((serving / "current").resolve()) == ""
    publish(tables(con, price=1.0))
    assert folders(serving) == [snapshot_id, f"{snapshot_id}-2"]  # valid, so nothing is written a third time


def test_links_are_repaired_and_a_folder_in_place_of_a_link_is_named(serving):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    (serving / "serving.duckdb").unlink()
    (serving / "serving.duckdb").write_text("a copy")
    (serving / "report.html").unlink()
    (serving / "report.html").symlink_to("/dev/null")
    publish(tables(con, price=1.0))
    assert prices(serving) == [(1.0,)]
    assert (serving / "report.html").read_text() == "<html></html>"
    (serving / "parquet").unlink()
    (serving / "parquet").mkdir()  # cp -rL
    with pytest.raises(ZlForecastError, match=r"serving/parquet is a folder, expected a link .* Remove it"):
        publish(tables(con, price=1.0))


# ---------- when something fails


@pytest.mark.parametrize(
    "error", [OSError, duckdb.IOException, duckdb.TransactionException, duckdb.FatalException]
)  # all four occurred on a full disk
def test_a_failed_publication_leaves_the_last_snapshot_and_no_other_files(serving, monkeypatch, error):
    con = duckdb.connect()
    publish(tables(con, price=1.0))

    def full_disk(_):
        raise error("No space left on device")

    monkeypatch.setattr(publishing.page, "render", full_disk)
    with pytest.raises(ZlForecastError, match=r"No space left on device\. Free some disk space.* is untouched"):
        publish(tables(con, price=2.0))
    assert prices(serving) == [(1.0,)]
    assert [name for name in folders(serving) if name.startswith(".")] == []


def test_a_snapshot_with_missing_rows_is_not_published(serving, monkeypatch):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    facts_of = publishing._facts

    def one_row_more(name, relation):
        return {**facts_of(name, relation), "n_rows": facts_of(name, relation)["n_rows"] + 1, "content_hash": "x"}

    monkeypatch.setattr(publishing, "_facts", one_row_more)
    with pytest.raises(ZlForecastError, match="has 1000 rows instead of 1001"):
        publish(tables(con, price=2.0))
    assert prices(serving) == [(1.0,)]


def test_old_snapshots_are_pruned_and_the_current_one_stays(serving):
    con = duckdb.connect()
    for price in range(6):
        publish(tables(con, price=float(price)))
    assert len(list((serving / "snapshots").iterdir())) == publishing.SNAPSHOTS_KEPT
    assert prices(serving) == [(5.0,)]


def test_a_snapshot_that_was_current_again_is_pruned_last(serving):
    con = duckdb.connect()
    first = publish(tables(con, price=0.0))["snapshot_id"][0]
    for price in (1.0, 2.0, 0.0, 3.0):
        time.sleep(0.01)
        publish(tables(con, price=price))
    assert first in folders(serving)


def test_other_files_in_the_folder_do_not_count_as_snapshots_in_pruning(serving):
    con = duckdb.connect()
    publish(tables(con, price=0.0))
    for name in ("notes.txt", "more.txt"):
        (serving / "snapshots" / name).write_text("ours")
        os.utime(serving / "snapshots" / name, (time.time() + 1000, time.time() + 1000))
    (serving / "snapshots" / "link").symlink_to(serving.parent)
    os.utime(serving.parent, (time.time() + 1000, time.time() + 1000))
    for price in (1.0, 2.0, 3.0):
        publish(tables(con, price=price))
    assert len(folders(serving)) == publishing.SNAPSHOTS_KEPT + 3
    assert prices(serving) == [(3.0,)]


def test_a_reader_with_the_old_snapshot_open_can_continue_to_read_it(serving):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        for price in range(2, 2 + 2 * publishing.SNAPSHOTS_KEPT):  # until its folder is pruned
            publish(tables(con, price=float(price)))
            assert reader.sql("select distinct price from forecasts.zl_forecast").fetchall() == [(1.0,)]


def _read_until(path: str, stop, reads, out) -> None:
    """Open and read the snapshot repeatedly, as BI tools do; report every answer and error."""
    seen = set()
    try:
        while not stop.is_set():
            with duckdb.connect(path, read_only=True) as con:
                answer = con.sql(
                    """
                    select count(*), min(price), max(price) from
                    (select price from forecasts.zl_forecast union all select price from monitoring.verdicts)
                    """
                ).fetchone()
            seen.add(answer)
            reads.value += 1
        out.put((seen, None))
    except Exception as error:
        out.put((seen, repr(error)))


def test_a_reader_in_another_process_never_sees_a_partial_snapshot(serving):
    con = duckdb.connect()
    publish(tables(con, price=0.0))
    context = multiprocessing.get_context("spawn")
    stop, reads, out = context.Event(), context.Value("i"), context.Queue()
    reader = context.Process(target=_read_until, args=(str(serving / "serving.duckdb"), stop, reads, out))
    reader.start()
    started, price = time.monotonic(), 0
    while reads.value < 20 and time.monotonic() - started < 30:
        price += 1
        publish(tables(con, price=float(price)))
    stop.set()
    seen, error = out.get(timeout=30)
    reader.join(timeout=30)
    assert error is None
    assert reads.value >= 20
    assert len(seen) > 1  # it has seen the snapshot change
    assert all(n == 2000 and low == high for n, low, high in seen)


PUBLISHER = """
    import sys, time
    from pathlib import Path
    import duckdb
    from zl_forecast import publish as publishing

    go, prices = Path(sys.argv[1]), sys.argv[2:]

    def render(con):
        while not go.exists():
            time.sleep(0.01)
        return "<html></html>"

    publishing.page.render = render
    for price in prices:
        rows = duckdb.sql(f"select i as n, {price}::double as price from range(1000) t(i)")
        publishing.publish({"forecasts.zl_forecast": rows, "monitoring.verdicts": rows})
"""


def _publisher(go: Path, *prices: float) -> subprocess.Popen:
    """Start a process that publishes these prices in turn; it finishes each page when the file `go` exists."""
    command = [sys.executable, "-c", textwrap.dedent(PUBLISHER), str(go), *map(str, prices)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _written_by(process: subprocess.Popen, serving: Path) -> Path:
    """Return the folder that a publisher is writing."""
    ends = time.monotonic() + 60
    while not (found := list((serving / "snapshots").glob(".writing-*/serving.duckdb"))):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < ends
        time.sleep(0.01)
    return found[0].parent


@pytest.mark.parametrize("how", [None, signal.SIGTERM])
def test_a_second_publisher_waits_for_the_first_however_it_ends(serving, tmp_path, capsys, how):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    first = _publisher(tmp_path / "go", 2.0)
    at_work = _written_by(first, serving)
    second = threading.Thread(target=lambda: publish(tables(duckdb.connect(), price=3.0)))
    second.start()
    time.sleep(0.5)
    assert at_work.exists()
    assert prices(serving) == [(1.0,)]
    if how is None:
        (tmp_path / "go").touch()
    else:
        first.send_signal(how)
    printed, _ = first.communicate(timeout=30)
    assert first.returncode == (0 if how is None else -how), printed
    second.join(30)
    assert f"Waiting for process {first.pid}" in capsys.readouterr().out
    assert prices(serving) == [(3.0,)]
    assert len(folders(serving)) == (3 if how is None else 2)  # and no unfinished ones
    assert [path.name for path in serving.iterdir() if path.name.startswith(".")] == [".lock"]


def test_two_concurrent_publishers_both_succeed(serving, tmp_path):
    """They publish equal content among other content."""
    (tmp_path / "go").touch()
    publishers = [_publisher(tmp_path / "go", *(number, 100, 10 + number, 100)) for number in range(2)]
    for publisher in publishers:
        printed, _ = publisher.communicate(timeout=60)
        assert publisher.returncode == 0, printed
    assert prices(serving) == [(100.0,)]
    assert all(publishing._fault(folder) == "" for folder in (serving / "snapshots").iterdir())
    assert len(folders(serving)) == publishing.SNAPSHOTS_KEPT


def test_a_publisher_that_never_ends_is_named(serving, monkeypatch):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    monkeypatch.setattr(publishing, "MAX_WAIT_SECONDS", 0.2)
    with (serving / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(
            ZlForecastError, match=f"process {os.getpid()} has been publishing in .* for more than 0.2 s"
        ):
            publish(tables(con, price=2.0))
    publish(tables(con, price=2.0))
    assert prices(serving) == [(2.0,)]

"""The published snapshot: complete or not at all, and readable while it changes."""

import multiprocessing
import time

import duckdb
import pandas as pd
import pytest

from zl_forecast import publish as publishing
from zl_forecast.errors import ZlForecastError
from zl_forecast.publish import publish


@pytest.fixture
def serving(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(publishing.report, "render", lambda con: "<html></html>")
    return tmp_path / "serving"


def tables(con, price: float, rows: int = 1000) -> dict:
    """Two tables that carry the same number in every row, so that a mixture of two snapshots would show."""
    return {
        "forecasts.zl_forecast": con.sql(f"select i as n, {price}::double as price from range({rows}) t(i)"),
        "monitoring.verdicts": con.sql(f"select {price}::double as price from range({rows})"),
    }


def test_snapshot_holds_every_table_in_duckdb_and_in_parquet(serving):
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


def test_failed_publication_leaves_the_last_snapshot_and_no_debris(serving, monkeypatch):
    con = duckdb.connect()
    publish(tables(con, price=1.0))

    def full_disk(_):
        raise OSError("No space left on device")

    monkeypatch.setattr(publishing.report, "render", full_disk)
    with pytest.raises(OSError, match="No space left"):
        publish(tables(con, price=2.0))
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        assert reader.sql("select distinct price from forecasts.zl_forecast").fetchall() == [(1.0,)]
    assert [f.name for f in (serving / "snapshots").iterdir() if f.name.startswith(".")] == []


def test_snapshot_that_reads_back_short_is_not_published(serving, monkeypatch):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    facts_of = publishing._facts

    def one_row_more(name, relation):
        return {**facts_of(name, relation), "n_rows": facts_of(name, relation)["n_rows"] + 1, "content_hash": "x"}

    monkeypatch.setattr(publishing, "_facts", one_row_more)
    with pytest.raises(ZlForecastError, match="reads back 1000 rows of 1001"):
        publish(tables(con, price=2.0))
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        assert reader.sql("select distinct price from forecasts.zl_forecast").fetchall() == [(1.0,)]


def test_old_snapshots_are_pruned_and_the_current_one_stays(serving):
    con = duckdb.connect()
    for price in range(6):
        publish(tables(con, price=float(price)))
    assert len(list((serving / "snapshots").iterdir())) == publishing.SNAPSHOTS_KEPT
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        assert reader.sql("select distinct price from forecasts.zl_forecast").fetchall() == [(5.0,)]


def test_reader_that_holds_the_old_snapshot_open_keeps_reading_it(serving):
    con = duckdb.connect()
    publish(tables(con, price=1.0))
    with duckdb.connect(str(serving / "serving.duckdb"), read_only=True) as reader:
        for price in range(2, 2 + 2 * publishing.SNAPSHOTS_KEPT):  # until its folder is pruned
            publish(tables(con, price=float(price)))
            assert reader.sql("select distinct price from forecasts.zl_forecast").fetchall() == [(1.0,)]


def _read_until(path: str, stop, out) -> None:
    """Open and read the snapshot over and over, as BI tools do; report every answer and every error."""
    seen, reads = set(), 0
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
            reads += 1
        out.put((reads, seen, None))
    except Exception as error:
        out.put((reads, seen, repr(error)))


def test_reader_in_another_process_never_sees_half_a_snapshot(serving):
    con = duckdb.connect()
    publish(tables(con, price=0.0))
    context = multiprocessing.get_context("spawn")
    stop, out = context.Event(), context.Queue()
    reader = context.Process(target=_read_until, args=(str(serving / "serving.duckdb"), stop, out))
    reader.start()
    started, price = time.monotonic(), 0
    while time.monotonic() - started < 8:
        price += 1
        publish(tables(con, price=float(price)))
    stop.set()
    reads, seen, error = out.get(timeout=30)
    reader.join(timeout=30)
    assert error is None
    assert reads > 3
    assert len(seen) > 1  # it did see the snapshot change
    assert all(n == 2000 and low == high for n, low, high in seen)

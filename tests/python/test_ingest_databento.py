"""Databento's API: cost, months, retries, what stays on disk, and that the key appears nowhere."""

import base64
import json
import sqlite3
from pathlib import Path

import pandas as pd
import pytest
import zstandard
from databento_dbn import SType
from dbn_files import encode_dbn, hours_of
from publishers import Answer, Publishers

from zl_forecast.ingest import ingest
from zl_forecast.ingest.adapters import databento
from zl_forecast.ingest.adapters.databento import contracts_between

KEY = "db-0123456789abcdefghijklmnopqrs"
HOST = "hist.databento.com/v0"
BARS = f"{HOST}/timeseries.get_range"
COST = f"{HOST}/metadata.get_cost"
RANGE = f"{HOST}/metadata.get_dataset_range"
CONDITION = f"{HOST}/metadata.get_dataset_condition"
SESSIONS = pd.bdate_range("2024-01-29", "2024-03-08")


def _bars(day: pd.Timestamp) -> list[dict]:
    rows = []
    for text, instrument, close, volume in (("ZLH4", 1, 45.0, 900), ("ZLK4", 2, 46.0, 300 if day.month < 3 else 3000)):
        rows += hours_of(
            f"{day:%Y-%m-%d}", text, instrument, [close, close + day.day / 100], volume=volume, first="08:00"
        )
    return rows


ALL_BARS = pd.DataFrame([row for day in SESSIONS for row in _bars(day)])


def send_bars(query: dict[str, str]) -> bytes:
    """Answer a request for bars as Databento does: DBN, compressed."""
    start, end = pd.Timestamp(query["start"]), pd.Timestamp(query["end"])
    start, end = (stamp.tz_convert(None) if stamp.tz else stamp for stamp in (start, end))
    stamps = ALL_BARS["ts_event"].dt.tz_localize(None)
    symbols = query["symbols"].split(",")
    rows = ALL_BARS[(stamps >= start) & (stamps < end) & ALL_BARS["text"].isin(symbols)]
    content = encode_dbn(rows, start=str(start), end=str(end), schema="1h", stype_in=SType.RAW_SYMBOL, symbols=symbols)
    return zstandard.compress(content)


@pytest.fixture
def publishers(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.delenv("ZL_DATABENTO_DIR", raising=False)
    monkeypatch.setenv("DATABENTO_API_KEY", KEY)
    monkeypatch.setattr(databento, "FIRST_WAIT_SECONDS", 0.01)
    answers = {
        RANGE: json.dumps({"start": "2010-06-06T00:00:00Z", "end": "2024-03-09T00:00:00Z"}),
        COST: "0.25",
        BARS: send_bars,
        CONDITION: json.dumps([{"date": "2024-02-14", "condition": "degraded", "last_modified_date": "2024-05-01"}]),
    }
    with Publishers(answers) as server:
        yield server


def _ingest():
    (outcome,) = ingest(["databento"], history_from=pd.Timestamp("2024-01-28").date(), first_wait_seconds=0.01)
    return outcome


def _landed(tmp_path: Path, table: str = "bars_daily") -> pd.DataFrame:
    return pd.read_parquet(tmp_path / "landing" / f"{table}_databento.parquet")


def _files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "data" / "databento" / "api").glob("*.dbn.zst"))


def test_months_are_downloaded_after_the_cost_is_known_and_landed_with_a_roll_and_the_curve(
    publishers, tmp_path, capsys
):
    outcome = _ingest()
    assert (outcome.state, str(outcome.newest_on)) == ("landed", "2024-03-08")
    bars = _landed(tmp_path)
    assert len(bars) == len(SESSIONS) - 1  # the front of the first session is not known
    rolled = bars.loc[bars["contract_id"] == "ZLK24", "as_of_date"]
    assert str(rolled.min()) == "2024-03-04"  # the session after the first with more volume in May
    assert len(_landed(tmp_path, "curve_daily")) == 2 * len(SESSIONS)
    asked = [query for path, query in publishers.requests if path == BARS]
    assert [query["start"][:10] for query in asked] == ["2024-01-28", "2024-02-01", "2024-03-01"]
    assert asked[-1]["end"].startswith("2024-03-08T23:00")  # 17:00 Chicago: the session that runs is not asked for
    assert publishers.paths().index(BARS) > publishers.paths().index(COST)
    shown = capsys.readouterr().err
    assert "3 months of hourly bars" in shown
    assert "0.75 USD" in shown
    assert "1 session degraded at Databento" in shown


def test_a_second_run_asks_for_nothing_and_changes_nothing(publishers, tmp_path):
    _ingest()
    files = [tmp_path / "landing" / "bars_daily_databento.parquet", *_files(tmp_path)]
    before = [(file.stat().st_mtime_ns, file.read_bytes()) for file in files]
    publishers.requests.clear()
    outcome = _ingest()
    assert outcome.state == "unchanged"
    assert [(file.stat().st_mtime_ns, file.read_bytes()) for file in files] == before
    assert publishers.paths() == [RANGE]


def test_a_later_run_downloads_only_what_is_new(publishers, tmp_path):
    publishers.answers[RANGE] = json.dumps({"start": "2010-06-06T00:00:00Z", "end": "2024-03-06T12:00:00Z"})
    assert str(_ingest().newest_on) == "2024-03-05"
    publishers.requests.clear()
    publishers.answers[RANGE] = json.dumps({"start": "2010-06-06T00:00:00Z", "end": "2024-03-09T00:00:00Z"})
    outcome = _ingest()
    assert (str(outcome.newest_on), outcome.n_new, outcome.n_revised) == ("2024-03-08", 9, 0)
    (asked,) = [query for path, query in publishers.requests if path == BARS]
    assert asked["start"].startswith("2024-03-05T23:00")


def test_a_cost_above_the_limit_is_refused_before_anything_is_downloaded(publishers, tmp_path, monkeypatch):
    publishers.answers[COST] = "2.5"
    outcome = _ingest()
    assert outcome.state == "failed"
    assert "cost 7.50 USD, above the limit of 5.00 USD" in outcome.reason
    assert "DATABENTO_MAX_COST_USD=8" in outcome.reason
    assert BARS not in publishers.paths()
    monkeypatch.setenv("DATABENTO_MAX_COST_USD", "8")
    assert _ingest().state == "landed"


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer(json.dumps({"detail": "Authentication failed."}), 401), "Check the access key DATABENTO_API_KEY"),
        (Answer(json.dumps({"detail": "Insufficient funds."}), 402), "payment method"),
        (Answer(json.dumps({"detail": "Could not resolve symbols."}), 422), "Could not resolve symbols"),
        (Answer("<html>Bad gateway</html>", 502), "Try again later"),
        (Answer("<html>Sign in</html>"), "the response is cut, or no DBN file"),
    ],
)
def test_a_refusal_says_what_to_do_and_lands_nothing(publishers, tmp_path, answer, says):
    publishers.answers[BARS] = answer
    outcome = _ingest()
    assert outcome.state == "failed"
    assert says in outcome.reason
    assert not (tmp_path / "landing" / "bars_daily_databento.parquet").exists()
    assert not list((tmp_path / "data" / "databento").rglob("*.dbn.zst"))


@pytest.mark.parametrize(
    "failure",
    [
        lambda query: Answer(json.dumps({"detail": "Too many requests."}), 429, {"Retry-After": "0"}),
        lambda query: Answer(b"", 500),
        lambda query: Answer(send_bars(query), missing_bytes=40),
        lambda query: send_bars(query)[:-40],
    ],
    ids=["429", "500", "truncated body", "complete body of a cut file"],
)
def test_a_failure_that_passes_is_tried_again(publishers, tmp_path, failure):
    calls = []

    def answer(query):
        calls.append(query)
        return failure(query) if len(calls) == 1 else send_bars(query)

    publishers.answers[BARS] = answer
    assert _ingest().state == "landed"
    assert len(calls) == 4
    assert len(_landed(tmp_path)) == len(SESSIONS) - 1


def test_on_a_weekend_nothing_is_asked_for_after_friday(publishers):
    publishers.answers[RANGE] = json.dumps({"start": "2010-06-06T00:00:00Z", "end": "2024-03-10T18:00:00Z"})  # a Sunday
    _ingest()
    assert [query["end"] for path, query in publishers.requests if path == BARS][-1].startswith("2024-03-08T23:00")


def test_a_limit_that_is_no_number_is_refused(publishers, monkeypatch):
    monkeypatch.setenv("DATABENTO_MAX_COST_USD", "ten")
    assert "DATABENTO_MAX_COST_USD is 'ten'" in _ingest().reason
    assert BARS not in publishers.paths()


def test_what_a_killed_process_left_is_neither_read_nor_kept(publishers, tmp_path):
    folder = tmp_path / "data" / "databento" / "api"
    folder.mkdir(parents=True)
    left = folder / ".2024-01-28T0000_2024-02-01T0000_fetched_20240309T000000Z.ohlcv-1h.dbn.zst"
    left.write_bytes(send_bars({"start": "2024-01-28", "end": "2024-02-01", "symbols": "ZLH4"})[:-20])
    assert _ingest().state == "landed"
    assert len(_landed(tmp_path)) == len(SESSIONS) - 1
    assert not left.exists()


def test_months_that_were_downloaded_before_a_failure_are_landed_and_not_paid_for_again(publishers, tmp_path):
    publishers.answers[BARS] = lambda query: send_bars(query) if query["start"] < "2024-03" else Answer(b"", 503)
    outcome = _ingest()
    assert (outcome.state, str(outcome.newest_on)) == ("partial", "2024-02-29")
    publishers.answers[BARS] = send_bars
    publishers.requests.clear()
    assert _ingest().state == "landed"
    assert [query["start"][:10] for path, query in publishers.requests if path == BARS] == ["2024-03-01"]


def test_files_that_were_removed_are_missed_and_what_was_landed_stays(publishers, tmp_path, monkeypatch):
    _ingest()
    before = (tmp_path / "landing" / "bars_daily_databento.parquet").read_bytes()
    monkeypatch.delenv("DATABENTO_API_KEY")
    _files(tmp_path)[-1].unlink()
    outcome = _ingest()
    assert outcome.state == "failed"
    assert (
        "ZL: the files have bars to 2024-02-29, but 29 to 2024-03-08 are landed, of which 6 sessions would be lost"
        in outcome.reason
    )
    assert (tmp_path / "landing" / "bars_daily_databento.parquet").read_bytes() == before
    (outcome,) = ingest(["databento"], reload=["ZL"])
    assert (outcome.state, str(outcome.newest_on)) == ("landed", "2024-02-29")


def test_without_key_and_files_the_source_is_skipped(publishers, tmp_path, monkeypatch):
    monkeypatch.delenv("DATABENTO_API_KEY")
    outcome = _ingest()
    assert outcome.state == "skipped"
    assert "DATABENTO_API_KEY" in outcome.reason
    assert publishers.requests == []


def test_the_key_is_in_no_file_message_or_record(publishers, tmp_path, capsys, caplog):
    caplog.set_level("DEBUG")
    publishers.answers[BARS] = [Answer(json.dumps({"detail": f"key {KEY} refused"}), 403), send_bars]
    outcomes = [_ingest(), _ingest()]
    assert outcomes[0].state == "failed"
    shown = "".join(capsys.readouterr()) + caplog.text + "".join(outcome.reason for outcome in outcomes)
    with sqlite3.connect(tmp_path / "data" / "ingest" / "ingest.sqlite") as con:
        shown += repr(con.execute("select * from runs").fetchall()) + repr(
            con.execute("select * from responses").fetchall()
        )
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            shown += content.decode("latin-1")
    assert KEY not in shown
    assert base64.b64encode(f"{KEY}:".encode()).decode() not in shown


def test_requests_name_the_contracts_that_are_delivered_soon_and_no_spreads():
    symbols = contracts_between(pd.Timestamp("2024-02-01"))
    assert len(symbols) == len(set(symbols)) < 2000  # the limit of a request
    assert [symbol for symbol in symbols if symbol.startswith("ZS")] == [
        "ZSH4",
        "ZSK4",
        "ZSN4",
        "ZSQ4",
        "ZSU4",
        "ZSX4",
        "ZSF5",
        "ZSH5",
    ]
    assert not [symbol for symbol in symbols if "-" in symbol]

"""Requests to publishers: every way in which an answer can be bad, and keys that never appear anywhere."""

import gzip
import logging
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from publishers import Answer, Publishers, zipped

from zl_forecast.ingest.client import Client, PublisherUnreachable
from zl_forecast.ingest.keys import read_key, redact
from zl_forecast.ingest.sources import SourceError, load_sources
from zl_forecast.ingest.store import Store

URL = "https://publisher.example/data.csv"
PATH = "publisher.example/data.csv"
KEY = "abcdef0123456789abcdef0123456789"
GOOD = "observation_date,DGS10\n2024-05-06,4.49\n"


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "ingest").locked() as store:
        yield store


@pytest.fixture
def publishers():
    with Publishers() as publishers:
        yield publishers


@pytest.fixture
def client(store, publishers):
    """A client of FRED that waits briefly; `publishers` answers it."""
    with Client(load_sources()["fred"], store, keys=[KEY], first_wait_seconds=0.001) as client:
        yield client


def get(client, content="csv", **more):
    return client.get(URL, {"api_key": KEY}, content=content, name="DGS10", **more)


def test_a_good_answer_is_returned_with_its_times_and_kept(client, publishers, store):
    publishers.answers[PATH] = Answer(GOOD, headers={"Last-Modified": "Fri, 23 Aug 2024 19:30:46 GMT"})
    response = get(client)
    assert response.text() == GOOD
    assert response.published_at == datetime(2024, 8, 23, 19, 30, 46, tzinfo=UTC)
    assert abs(datetime.now(UTC) - response.fetched_at) < timedelta(seconds=10)
    (kept,) = (store.folder / "raw" / "fred").iterdir()
    assert gzip.decompress(kept.read_bytes()).decode() == GOOD


def test_an_equal_answer_is_kept_once_and_recorded_twice(client, publishers, store):
    publishers.answers[PATH] = GOOD
    get(client), get(client)
    assert len(list((store.folder / "raw" / "fred").iterdir())) == 1
    with store._connect() as con:
        assert con.execute("select count(*), count(distinct fetched_at) from responses").fetchone() == (2, 2)


@pytest.mark.parametrize("bad", [Answer("slow down", 429), Answer("oops", 500), Answer(GOOD, missing_bytes=5)])
def test_a_passing_failure_is_tried_again(client, publishers, bad):
    publishers.answers[PATH] = [bad, bad, Answer(GOOD)]
    assert get(client).text() == GOOD
    assert len(publishers.requests) == 3


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (Answer("slow down", 429), "DGS10: publisher.example answered 429, after 5 attempts"),
        (Answer("<html>Service unavailable</html>", 503), "answered 503, after 5 attempts"),
        (Answer(GOOD, missing_bytes=5), "after 5 attempts"),
    ],
)
def test_a_lasting_failure_ends_after_five_attempts(client, publishers, bad, words):
    publishers.answers[PATH] = bad
    with pytest.raises(PublisherUnreachable) as error:
        get(client)
    assert words in str(error.value)
    assert "what was landed before is unchanged" in str(error.value)
    assert len(publishers.requests) == 5


def test_a_publisher_that_cannot_be_reached_is_named(store, monkeypatch):
    monkeypatch.setenv("ZL_MIRROR_URL", "http://127.0.0.1:9")  # the port of the service `discard`: no server listens
    with (
        Client(load_sources()["fred"], store, keys=[KEY], first_wait_seconds=0.001) as client,
        pytest.raises(PublisherUnreachable, match=r"publisher.example: .*refused"),
    ):
        get(client)


def test_the_wait_that_the_publisher_asks_for_is_kept(client, publishers):
    publishers.answers[PATH] = [Answer("", 429, {"Retry-After": "1"}), Answer(GOOD)]
    began = time.monotonic()
    get(client)
    assert 1 <= time.monotonic() - began < 5


def test_a_wait_beyond_the_time_limit_ends_at_once(client, publishers):
    publishers.answers[PATH] = Answer("", 429, {"Retry-After": "86400"})
    began = time.monotonic()
    with pytest.raises(PublisherUnreachable, match="asks to wait 86400 s, longer than the time limit of fred"):
        get(client)
    assert time.monotonic() - began < 1
    assert len(publishers.requests) == 1


def test_the_time_limit_counts_all_requests_of_a_source(store, publishers):
    publishers.answers[PATH] = lambda query: time.sleep(0.3) or GOOD
    source = replace(load_sources()["fred"], max_seconds=0.2)
    with Client(source, store, first_wait_seconds=0.001) as client, pytest.raises(PublisherUnreachable):
        get(client), get(client)


def test_the_rate_limit_of_the_publisher_is_kept(client, publishers):
    publishers.answers[PATH] = GOOD
    client._pause = 0.2  # a mirror has no limit
    began = time.monotonic()
    get(client), get(client), get(client)
    assert time.monotonic() - began >= 0.4


@pytest.mark.parametrize(
    ("content", "body", "words"),
    [
        ("csv", "<!DOCTYPE html>\n<html><body>Maintenance</body></html>", "sent a web page instead of CSV data"),
        ("zip", "\n\n<html>landing page</html>", "sent a web page instead of ZIP data"),
        ("json", '<?xml version="1.0"?><observations/>', "sent a web page instead of JSON data"),
        ("csv", "", "sent an empty document"),
        ("csv", "\ufeff \n", "sent an empty document"),
        ("json", '{"observations": [', "sent JSON that is cut or damaged"),
        ("zip", zipped("annual.txt", "x" * 5000)[:-30], "sent a zip file that is cut or damaged"),
        ("zip", "PK, but not an archive", "sent a zip file that is cut or damaged"),
    ],
)
def test_a_body_that_is_not_what_was_asked_for_is_refused_and_kept(client, publishers, store, content, body, words):
    publishers.answers[PATH] = body
    with pytest.raises(SourceError) as error:
        get(client, content)
    assert f"DGS10: publisher.example {words}" in str(error.value)
    assert len(publishers.requests) == 1
    assert len(list((store.folder / "raw" / "fred").iterdir())) == 1


def test_an_error_has_the_publishers_own_words(client, publishers):
    publishers.answers[PATH] = Answer(
        '{"error_code":400,"error_message":"Bad Request.  The value for variable api_key is not registered."}', 400
    )
    with pytest.raises(SourceError) as error:
        get(client)
    assert "answered 400: Bad Request.  The value for variable api_key is not registered. Check the access key" in str(
        error.value
    )
    assert "FRED_API_KEY" in str(error.value)


def test_a_missing_document_can_be_distinguished_from_other_failures(client, publishers):
    with pytest.raises(SourceError, match="answered 404") as error:
        get(client)
    assert error.value.status == 404


@pytest.mark.parametrize(("hours", "words"), [(26, "26.0 hours behind"), (-3, "3.0 hours ahead of")])
def test_a_wrong_clock_of_this_machine_is_refused(client, publishers, hours, words):
    sent_at = datetime.now(UTC) + timedelta(hours=hours)
    publishers.answers[PATH] = Answer(GOOD, headers={"Date": format_datetime(sent_at, usegmt=True)})
    with pytest.raises(SourceError, match=f"this machine's clock is {words} publisher.example's. Set the clock"):
        get(client)


def test_a_copy_from_the_publishers_cache_is_no_sign_of_a_wrong_clock(client, publishers):
    sent_at = datetime.now(UTC) - timedelta(hours=26)
    headers = {"Date": format_datetime(sent_at, usegmt=True), "Age": str(26 * 3600)}
    publishers.answers[PATH] = Answer(GOOD, headers=headers)
    assert get(client).text() == GOOD


def test_text_that_is_not_utf_8_is_refused(client, publishers):
    publishers.answers[PATH] = "a,b\n1,é\n".encode("latin-1")
    with pytest.raises(SourceError, match="not UTF-8"):
        get(client).text()


# ---------------------------------------------------------------- keys


def test_a_key_is_in_no_error_no_log_and_no_kept_response(client, publishers, store, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger=name)  # a program that wants to see every request
    progress = []
    client.progress = progress.append
    text = f'{{"error_message": "the key {KEY} is not registered"}}'
    errors = []
    for answer in (Answer(text, 400), Answer(text, 500), Answer(GOOD, missing_bytes=3), Answer(f"<html>{KEY}</html>")):
        publishers.answers[PATH] = answer
        with pytest.raises(SourceError) as error:
            get(client)
        errors += traceback.format_exception(error.value)
    publishers.answers[PATH] = f"{GOOD}# {KEY}\n"
    assert KEY not in get(client).text()
    assert any(KEY in query.get("api_key", "") for _, query in publishers.requests)  # it was sent
    kept = b"".join(gzip.decompress(file.read_bytes()) for file in store.folder.rglob("*.gz"))
    record = b"".join(file.read_bytes() for file in store.folder.glob("ingest.sqlite*"))
    for shown in (*errors, *progress, caplog.text, *capfd.readouterr(), kept.decode(), record.decode("latin-1")):
        assert KEY not in shown
    assert b"api_key=***" in record


def test_a_key_comes_from_the_environment_or_from_the_file_env(tmp_path, monkeypatch):
    (tmp_path / "dbt_project.yml").touch()
    (tmp_path / ".env").write_text('FRED_API_KEY="of the file"\nOTHER=\n')
    monkeypatch.setenv("DBT_PROJECT_DIR", str(tmp_path))
    monkeypatch.delenv("FRED_API_KEY", raising=False)
    assert read_key("FRED_API_KEY") == "of the file"
    monkeypatch.setenv("FRED_API_KEY", "of the environment\n")
    assert read_key("FRED_API_KEY") == "of the environment"
    assert read_key("OTHER") is None
    assert read_key("") is None


def test_the_file_env_is_not_under_version_control(pytestconfig):
    assert ".env" in (pytestconfig.rootpath / ".gitignore").read_text().split()


def test_a_key_is_removed_in_the_form_that_it_has_in_a_url():
    assert redact("key=a%2Fb+c%2Bd&x=a/b c+d", ["a/b c+d"]) == "key=***&x=***"

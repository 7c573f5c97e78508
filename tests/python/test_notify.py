"""`zl notify`: what is reported, once per channel; mail and web hooks arrive on loopback; secrets are shown nowhere."""

import json
import logging
import os
import shutil
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import duckdb
import pandas as pd
import pytest
import small_snapshot as pages
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from zl_forecast import build_record, cli, notify
from zl_forecast.build_record import record_outcome, unfinished_build
from zl_forecast.cli import build
from zl_forecast.errors import ZlForecastError
from zl_forecast.ingest.store import Store
from zl_forecast.notify import Event, Events, find_events
from zl_forecast.thresholds import threshold

TOKEN = "s3cret-t0ken"


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    """An empty data folder, no channels of the user's, and short waits."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    for name in ("ZL_LANDING_DIR", notify.CHANNELS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("zl_forecast.ingest.keys.dotenv_values", lambda file: {})
    monkeypatch.setattr(notify, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr("apprise.plugins.base.NotifyBase.request_rate_per_sec", 0)  # no pause between two mails
    return tmp_path / "data"


class Hook:
    """A web hook on loopback that answers with the given statuses, the last one repeated."""

    def __init__(self, *statuses):
        self.statuses, self.received, self.paths = list(statuses or (200,)), [], []

    def __enter__(self):
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                hook.paths.append(self.path)
                hook.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0])
                self.end_headers()

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"json://127.0.0.1:{self._server.server_address[1]}/{TOKEN}"
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def mailbox(**more):
    """A mail server on loopback; yields its port and the messages that it received."""
    received, logins = [], []

    class Handler:
        async def handle_DATA(self, server, session, envelope):
            received.append((logins[-1], envelope))
            return "250 OK"

    def check(server, session, envelope, mechanism, data):
        logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=data.password == TOKEN.encode(), handled=False)  # the server answers, also a refusal

    more = {"auth_require_tls": False} | more
    controller = Controller(Handler(), "127.0.0.1", 0, authenticator=check, ready_timeout=10, **more)
    controller.port = free_port()
    controller.start()
    try:
        yield controller.port, received
    finally:
        controller.stop()


def free_port():
    from conftest import free_port

    return free_port()


OLD = Event("data:fred", "Data of fred are old or missing", "stale: DFF")
MOVE = Event("forecast:move:1w:2024-03-15", "1w: P50 moved by +2.00", "40% of its band", is_lasting=False)
FAILED = Event("build:failed", "Build failed at zl_targets", "no rows")


def sent(*found, unknown=None):
    return notify.notify(Events(list(found), unknown or {}))


# ---------- each event once, per channel


def test_an_event_is_sent_once_and_its_end_as_well(monkeypatch):
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        (delivery,) = sent(OLD)
        assert (delivery.channel, delivery.n_new, delivery.error) == ("channel 1 (JSON)", 1, "")
        assert sent(OLD)[0].n_new == 0
        assert sent(OLD, FAILED)[0].n_new == 1
        assert sent(FAILED)[0].n_recovered == 1
        assert sent(FAILED)[0].n_recovered == 0
        assert sent(OLD, FAILED)[0].n_new == 1  # it has returned
    assert [(own["title"], own["message"], own["type"]) for own in hook.received] == [
        ("zl-forecast: 1 new", "Data of fred are old or missing: stale: DFF", "warning"),
        ("zl-forecast: 1 new", "Build failed at zl_targets: no rows", "warning"),
        ("zl-forecast: 1 recovered", "Recovered: Data of fred are old or missing", "success"),
        ("zl-forecast: 1 new", "Data of fred are old or missing: stale: DFF", "warning"),
    ]
    assert hook.paths[0] == f"/{TOKEN}"


def test_another_title_of_the_same_event_is_sent_again_and_another_detail_is_not(monkeypatch):
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        sent(FAILED)
        sent(Event(FAILED.key, FAILED.title, "no rows, at another time"))
        sent(Event(FAILED.key, "Build failed at zl_prices", "no rows"))
    assert [own["message"] for own in hook.received] == [
        "Build failed at zl_targets: no rows",
        "Build failed at zl_prices: no rows",
    ]


def test_a_move_does_not_recover(monkeypatch):
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        sent(MOVE)
        assert sent()[0].n_recovered == 0
    assert len(hook.received) == 1


def test_what_cannot_be_read_has_neither_begun_nor_ended(monkeypatch):
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        sent(OLD, FAILED)
        (delivery,) = sent(OLD, unknown={"build": "a build is running"})
        assert (delivery.n_new, delivery.n_recovered) == (0, 0)
        assert sent(OLD)[0].n_recovered == 1
    assert len(hook.received) == 2


def test_a_channel_that_fails_is_sent_the_same_next_time_and_the_others_are_not(monkeypatch):
    with Hook() as good, Hook(500, 500, 500, 200) as bad:
        monkeypatch.setenv(notify.CHANNELS, f"{good.url} {bad.url}")
        first, second = sent(OLD)
        assert first.error == ""
        assert second.error.startswith("Failed to send JSON")
        assert "500" in second.error
        assert len(bad.received) == 1 + notify.RETRIES
        first, second = sent(OLD)
        assert (first.n_new, second.n_new, second.error) == (0, 1, "")
    assert (len(good.received), len(bad.received)) == (1, 4)


def test_a_channel_that_recovers_within_its_retries_is_no_failure(monkeypatch):
    with Hook(503, 200) as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        assert sent(OLD)[0].error == ""
    assert len(hook.received) == 2


def test_a_damaged_memory_counts_as_empty(data_dir, monkeypatch):
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        sent(OLD)
        for damaged in ("{", "[]", '{"a": 1}'):
            (data_dir / notify.SENT).write_text(damaged)
            assert sent(OLD)[0].n_new == 1
    assert len(hook.received) == 4


def test_long_and_odd_details_are_cut_and_escaped():
    line = Event("ingest:fred", "Ingest of fred: failed", "\x1b[31m" + "x" * 500).line()
    assert line.startswith("Ingest of fred: failed: \\x1b[31mxxx")
    assert line.endswith(" ...")
    assert len(line) < 440


# ---------- channels and their secrets


def test_mail_arrives_with_its_sender_and_recipient(monkeypatch):
    with mailbox() as (port, received):
        monkeypatch.setenv(
            notify.CHANNELS,
            f"mailto://desk:{TOKEN}@127.0.0.1:{port}?from=forecast@example.com&to=desk@example.com&format=text",
        )
        (delivery,) = sent(OLD)
        assert delivery.error == ""
    ((login, envelope),) = received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("forecast@example.com", ["desk@example.com"])
    assert login == ("desk", TOKEN)
    assert b"Subject: zl-forecast: 1 new" in envelope.content
    assert b"Data of fred are old or missing: stale: DFF" in envelope.content


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl to make a certificate with")
def test_mail_is_encrypted_before_the_password_is_sent(tmp_path, monkeypatch):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    options = "from=a@example.com&to=b@example.com&mode=starttls"
    with mailbox(tls_context=context, require_starttls=True, auth_require_tls=True) as (port, received):
        url = f"mailtos://desk:{TOKEN}@127.0.0.1:{port}?{options}"
        monkeypatch.setenv(notify.CHANNELS, url)
        assert sent(OLD)[0].error != ""  # nobody has signed this certificate
        assert received == []
        monkeypatch.setenv(notify.CHANNELS, f"{url}&verify=no")
        assert sent(OLD)[0].error == ""
    assert received[0][0] == ("desk", TOKEN)


def test_a_refused_password_is_an_error_without_it(monkeypatch, capsys):
    monkeypatch.setattr(notify, "RETRIES", 0)
    with mailbox() as (port, received):
        monkeypatch.setenv(
            notify.CHANNELS, f"mailto://desk:wr0ng-passw0rd@127.0.0.1:{port}?from=a@example.com&to=b@example.com"
        )
        assert cli.main(["notify", "--test"]) == 1
    printed = "".join(capsys.readouterr())
    assert "channel 1 (E-Mail): NOT SENT: " in printed
    assert "wr0ng-passw0rd" not in printed
    assert received == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        (f"https://example.com/{TOKEN}", "URL 1 of ZL_NOTIFY_URLS is of no service that Apprise knows."),
        (TOKEN, "URL 1 of ZL_NOTIFY_URLS is of no service that Apprise knows."),
        (f"json://user:{TOKEN}@127.0.0.1:1/{TOKEN}", "A Connection error occurred sending JSON notification"),
    ],
)
def test_no_part_of_a_channel_is_shown_or_kept(url, says, data_dir, monkeypatch, capfd, caplog):
    monkeypatch.setenv(notify.CHANNELS, url)
    for name in ("", "urllib3", "apprise"):
        caplog.set_level(logging.DEBUG, logger=name)  # a program that wants to see every request
    assert cli.main(["notify", "--test"]) == 1
    sent(OLD)
    printed = capfd.readouterr()
    assert says in printed.out
    kept = "".join(path.read_text() for path in data_dir.rglob("*") if path.is_file())
    assert TOKEN not in printed.out + printed.err + caplog.text + kept


def test_the_secret_parts_of_a_url_are_known_and_its_host_is_not():
    secrets = notify._secrets("mailtos://user:pa%40ss@mail.example.com:587/path?to=desk@example.com")
    assert {"user", "pa%40ss", "pa@ss", "path", "desk@example.com"} <= set(secrets)
    assert "mail.example.com" not in secrets
    assert "T1JJ3T3L2" in notify._secrets("slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazk")


def test_addresses_as_the_services_give_them_are_channels():
    import apprise

    for url, service in (
        ("https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7F", "Slack"),
        ("https://discord.com/api/webhooks/12345678901234567/abcdefghijklmnopqrstuvwxyz", "Discord"),
    ):
        assert apprise.Apprise.instantiate(url).service_name == service


def test_channels_come_from_the_file_of_keys_as_well(monkeypatch):
    monkeypatch.setattr("zl_forecast.ingest.keys.dotenv_values", lambda file: {notify.CHANNELS: "json://a\tjson://b"})
    assert notify.channels() == ["json://a", "json://b"]


def test_channels_do_not_make_an_unchanged_build_count_as_changed(data_dir, monkeypatch):
    before = build_record.read_inputs()
    monkeypatch.setenv(notify.CHANNELS, "json://a")
    note_run("fred", "unchanged")
    assert build_record.read_inputs() == before
    monkeypatch.setenv("ZL_MIRROR_URL", "https://mirror.example")
    assert build_record.read_inputs() != before


# ---------- zl notify


def test_without_channels_the_events_are_printed_and_nothing_is_written(data_dir, capsys):
    assert cli.main(["notify"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Nothing to report.\nNo channel is set: nothing is sent. Next: ZL_NOTIFY_URLS")
    assert not data_dir.exists()
    assert cli.main(["notify", "--test"]) == 1


def test_the_command_says_what_it_sent(data_dir, monkeypatch, capsys):
    note_run("fred", "failed", "the server answered 500")
    with Hook() as hook:
        monkeypatch.setenv(notify.CHANNELS, hook.url)
        assert cli.main(["notify"]) == 0
        printed = capsys.readouterr().out
        assert "Ingest of fred: failed: the server answered 500\n" in printed
        assert "channel 1 (JSON): sent 3 new, 0 recovered" in printed  # no data either
        assert cli.main(["notify", "--json"]) == 0
        read = json.loads(capsys.readouterr().out)
        assert [event["key"] for event in read["events"]] == ["ingest:fred", "data:fred", "data:own_files"]
        assert read["deliveries"] == [{"channel": "channel 1 (JSON)", "n_new": 0, "n_recovered": 0, "error": ""}]
    assert len(hook.received) == 1


# ---------- what is reported


def note_run(source, state, reason="", run_id="1"):
    with Store().locked() as store:
        store.begin_run(run_id, source)
        if state != "running":
            store.end_run(run_id, source, state, reason=reason)


def events(topic):
    return [event for event in find_events().found if event.topic == topic]


def test_the_newest_run_of_each_source_counts(data_dir):
    for run_id, source, state in (
        ("1", "fred", "failed"),
        ("1", "ecb", "unchanged"),
        ("2", "fred", "landed"),
        ("2", "ecb", "partial"),
    ):
        note_run(source, state, f"reason {run_id}", run_id)
    note_run("ecb", "running", run_id="3")  # not known yet: the failure has not ended
    assert [event.line() for event in events("ingest")] == ["Ingest of ecb: partial: reason 2"]
    note_run("fred", "landed", run_id="4")  # the run of ecb was killed
    assert [event.title for event in events("ingest")] == ["Ingest of ecb: interrupted"]


def test_a_failed_build_is_reported_until_one_succeeds(data_dir, monkeypatch):
    outcomes = {
        "failures": [("zl_targets", "Compilation Error in model zl_targets (models/x.sql) no rows."), ("b", "gap")]
    }
    monkeypatch.setattr(build, "run_with_progress", lambda arguments, folder: outcomes["failures"])
    assert build.make_forecasts([]) == 1
    (event,) = events("build")
    assert event.line() == "Build failed at zl_targets (2 failed): no rows. Next: logs/dbt.log, then make build"
    outcomes["failures"] = []
    assert build.make_forecasts([]) == 0
    assert events("build") == []
    assert unfinished_build() is None


def test_a_build_that_raises_is_reported_with_the_error():
    def raise_error():
        raise ZlForecastError("the project cannot be parsed")

    with pytest.raises(ZlForecastError):
        record_outcome(raise_error)
    assert "Build failed: the project cannot be parsed" in events("build")[0].line()


def test_an_unchanged_project_forgets_an_earlier_failure(data_dir, monkeypatch):
    record_outcome(lambda: [("a", "b")])
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(build_record, "compare_with_record", lambda inputs: ("2024-03-15T20:00", None))
    assert build.make_forecasts([]) == 0
    assert events("build") == []


def test_a_build_that_runs_is_unknown_and_a_killed_one_has_failed(data_dir):
    code = (
        "import os, time\nfrom zl_forecast.build_record import record_outcome\n"
        "record_outcome(lambda: (print('running', flush=True), time.sleep(60)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=os.environ)
    process.stdout.readline()
    try:
        found = find_events()
        assert found.unknown["build"].startswith("a build is running.")
        assert [event.topic for event in found.found] == []
    finally:
        process.kill()
        process.wait()
    assert "Build failed: it was killed, or the machine stopped, after " in events("build")[0].line()


def test_the_number_of_a_dead_process_may_belong_to_another_one(data_dir):
    data_dir.mkdir()
    facts = {"started_at": "2020-01-01 00:00", "pid": os.getpid(), "time": 1.0}
    (data_dir / build_record.UNFINISHED).write_text(json.dumps(facts))
    assert not unfinished_build().is_running
    (data_dir / build_record.UNFINISHED).write_text("{")
    assert unfinished_build().failures == []


@pytest.fixture
def published(data_dir):
    """A snapshot with a degraded bucket, a fallback, a failed calibration and a large move."""
    changes = pd.DataFrame(
        {
            "horizon_code": ["1w", "1m", "3m"],
            "compared_with": ["previous", "previous", "week_ago"],
            "as_of_date": date.fromisoformat("2024-03-15"),
            "earlier_as_of_date": date.fromisoformat("2024-03-14"),
            "earlier_band_width": [8.0, 8.0, 8.0],
            "p50": 49.0,
            "p50_change": [-8 * threshold("notified_move_share") - 0.01, 8 * threshold("notified_move_share"), 7.0],
        }
    )
    health = pd.DataFrame(
        {
            "subject": ["crush", "fx", "fed", "energy"],
            "horizon_code": "1w",
            "state": ["degraded", "watch", "expired", "degraded"],
            "state_since": date.fromisoformat("2024-03-08"),
            "is_newest": [True, True, True, False],
            "reason": "a reason",
        }
    )
    bands = pd.DataFrame(
        {
            "subject": ["published", "published", "crush"],
            "horizon_code": ["1w", "1m", "1w"],
            "calibration_state": ["failed", "ok", "failed"],
            "coverage": 0.61,
        }
    )
    pages.publish(data_dir, forecast={**pages.FORECAST, "fallback_reason": "coverage 61 %", "data_source": "market"})
    with duckdb.connect(str(data_dir / "serving" / "serving.duckdb")) as con:
        for name, table in (
            ("forecasts.zl_forecast_changes", changes),
            ("monitoring.model_health", health),
            ("monitoring.coverage_tests", bands),
        ):
            con.register("own", table)
            con.execute(f"create or replace table {name} as from own")
    return data_dir


def test_a_snapshot_is_reported_by_what_it_says(published):
    found = events("forecast")
    assert [event.line() for event in found if ":fallback:" not in event.key] == [
        "crush 1w is degraded: since 2024-03-08: a reason",
        "fed 1w is expired: since 2024-03-08: a reason",
        "1w: calibration failed: the 80 % band covered 61%",
        "1w: P50 moved by -2.01 to 49.00 cents/lb: 25% of the 80 % band of 2024-03-14; as of 2024-03-15",
    ]
    assert {event.line() for event in found if ":fallback:" in event.key} == {
        f"{code}: the reference is published (fallback): coverage 61 %" for code in ("1w", "1m", "3m", "6m")
    }
    assert [event.is_lasting for event in found] == [True] * (len(found) - 1) + [False]


def test_a_snapshot_of_an_older_version_is_no_error(data_dir):
    pages.publish(data_dir)
    with duckdb.connect(str(data_dir / "serving" / "serving.duckdb")) as con:
        con.execute("alter table forecasts.zl_forecast drop column fallback_reason")
    assert [event for event in events("forecast") if ":move:" not in event.key] == []
    assert find_events().unknown == {}


def test_zl_is_reported_although_another_symbol_of_its_source_was_old_before(data_dir):
    from test_status import land_bars, today

    land_bars(data_dir, {"ZL": today(0), "6L": today(60)})
    (before,) = find_events().found
    land_bars(data_dir, {"ZL": today(20), "6L": today(60)})
    (after,) = find_events().found
    assert before.key == after.key
    assert (before.title, after.title) == (
        "Data of yahoo are old or missing (6L)",
        "Data of yahoo are old or missing (ZL, 6L)",
    )


def test_what_cannot_be_read_is_an_event_since_it_hides_others(data_dir):
    (data_dir / "ingest").mkdir(parents=True)
    (data_dir / "ingest" / "ingest.sqlite").write_bytes(b"damaged" * 1000)
    events = find_events()
    assert [event.key for event in events.found] == ["unreadable:ingest", "unreadable:data"]
    assert "delete it" in events.found[0].detail
    assert set(events.unknown) == {"ingest", "data"}


def test_what_one_channel_was_sent_is_recorded_if_the_next_one_is_interrupted(data_dir, monkeypatch):
    monkeypatch.setenv("ZL_NOTIFY_URLS", "json://one.example json://two.example")
    said = []

    def send(number, *_):
        if number == 2:
            raise KeyboardInterrupt
        said.append(number)
        return "channel 1", ""

    monkeypatch.setattr(notify, "_send", send)
    with pytest.raises(KeyboardInterrupt):
        sent(OLD)
    assert OLD.title in (data_dir / "notified.json").read_text()

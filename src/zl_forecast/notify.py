"""What an operator should hear of: failed builds and pulls, old data, degraded models, fallbacks, bad bands, large moves.

`zl notify` finds what holds now, compares it with what each channel was sent before, and sends the difference: what is
new, and what has recovered. It is a step of its own after a build, so that no build depends on a channel.

Channels are URLs of Apprise (https://appriseit.com), which knows mail, Slack, Teams, Discord and a hundred others. They
hold secrets: they are read from ZL_NOTIFY_URLS, in the environment or .env, and are shown and kept nowhere.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

import duckdb

from zl_forecast.build_record import unfinished_build
from zl_forecast.databases import open_snapshot, snapshot_file
from zl_forecast.errors import ZlForecastError, listed, printable
from zl_forecast.freshness import FAILED, OVERDUE, read_freshness
from zl_forecast.ingest.keys import read_key, redact, silence_request_logs
from zl_forecast.ingest.store import Store
from zl_forecast.paths import data_dir
from zl_forecast.queries import read_rows
from zl_forecast.thresholds import threshold

CHANNELS = "ZL_NOTIFY_URLS"
SENT = "notified.json"  # in the data folder: what each channel was sent, by digest of its URL
RETRIES = 2
FIRST_WAIT_SECONDS = 3.0
MAX_SECONDS = 60  # per channel, retries included
MAX_DETAIL = 400  # characters per event


@dataclass(frozen=True)
class Event:
    """Something to report once.

    Attributes
    ----------
    key : str
        Identifies it from run to run; the part before the first colon is its topic.
    title : str
        What is the case, in some words. A new title of the same key is reported again.
    detail : str
        Reason or number, and what to do.
    is_lasting : bool
        False for what cannot recover, such as a move of the forecast.
    """

    key: str
    title: str
    detail: str = ""
    is_lasting: bool = True

    @property
    def topic(self) -> str:
        """The part of the key before the first colon."""
        return self.key.split(":")[0]

    def line(self) -> str:
        """Return title and detail as one line."""
        detail = printable(self.detail)
        return (
            f"{printable(self.title)}{': ' if detail else ''}{detail[:MAX_DETAIL]}{' ...' * (len(detail) > MAX_DETAIL)}"
        )


@dataclass(frozen=True)
class Events:
    """What holds now.

    Attributes
    ----------
    found : list of Event
        In the order of topics.
    unknown : dict of str to str
        Topics that could not be read, with the reason: neither new nor recovered.
    """

    found: list[Event]
    unknown: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivery:
    """Outcome of one channel.

    Attributes
    ----------
    channel : str
        Its number in ZL_NOTIFY_URLS and its service; no part of its URL.
    n_new, n_recovered : int
        Events that were sent, or should have been.
    error : str
        Empty if it was delivered or there was nothing to send.
    """

    channel: str
    n_new: int
    n_recovered: int
    error: str = ""


def find_events() -> Events:
    """Find what holds now, from files alone.

    Returns
    -------
    Events
    """
    readers: dict[str, Callable[[], Iterable[Event]]] = {
        "build": _of_build,
        "ingest": _of_ingest,
        "data": _of_data,
        "forecast": _of_forecast,
    }
    found: list[Event] = []
    unknown: dict[str, str] = {}
    for topic, read in readers.items():
        try:
            found += read()
        except ZlForecastError as error:
            unknown[topic] = str(error)
            if topic != "build":  # a build that runs ends by itself; anything else would hide later events
                found.append(Event(f"unreadable:{topic}", f"Events of topic {topic} cannot be read", str(error)))
    return Events(found, unknown)


def _of_build() -> Iterable[Event]:
    left = unfinished_build()
    if left is None:
        return
    if left.is_running:
        raise ZlForecastError("a build is running. Run this command when it has ended.")
    name, message = (
        left.failures[0] if left.failures else ("", f"it was killed, or the machine stopped, after {left.started_at}")
    )
    message = re.sub(r"^\w+ Error in \w+ \S+ \(\S+\) ", "", message)  # dbt repeats the node
    more = f" ({len(left.failures)} failed)" if len(left.failures) > 1 else ""
    yield Event(
        "build:failed",
        f"Build failed{f' at {name}' if name else ''}{more}",
        f"{message.rstrip('.')}. Next: logs/dbt.log, then make build",
    )


def _of_ingest() -> Iterable[Event]:
    runs = Store().runs().to_pylist()
    newest = {run["source"]: run for run in runs if run["state"] != "running"}
    for source, run in newest.items():
        if run["state"] in FAILED:
            yield Event(f"ingest:{source}", f"Ingest of {source}: {run['state']}", run["reason"] or "")


def _of_data() -> Iterable[Event]:
    freshness = read_freshness()
    for own in freshness.overdue():
        overdue = [one for one in freshness.subjects if one.source == own.source and one.state in OVERDUE]
        names = sorted((one.subject for one in overdue), key=lambda name: name != "ZL")
        counts = [f"{sum(one.state == state for one in overdue)} {state}" for state in OVERDUE]
        details = [text for text in counts if not text.startswith("0 ")]
        details += [one.reason.rstrip(".") for one in overdue if one.file_name and one.reason]
        details += [f"newest {own.newest_on}"] if own.newest_on else []
        # names are in the title: when ZL becomes old as well, that is reported although another name was before
        title = f"Data of {own.source} are old or missing ({listed(names)})"
        yield Event(f"data:{own.source}", title, f"{'; '.join(details)}. Next: zl status")


def _of_forecast() -> Iterable[Event]:
    if not snapshot_file().exists():
        return
    with open_snapshot() as con:
        for row in _rows(con, "from monitoring.model_health where is_newest and state in ('degraded', 'expired')"):
            of = f"{row['subject']} {row['horizon_code']}"
            yield Event(
                f"forecast:health:{of}", f"{of} is {row['state']}", f"since {row['state_since']}: {row['reason']}"
            )
        for row in _rows(con, "from forecasts.zl_forecast where fallback_reason is not null"):
            of = row["horizon_code"]
            yield Event(
                f"forecast:fallback:{of}", f"{of}: the reference is published (fallback)", row["fallback_reason"]
            )
        for row in _rows(
            con, "from monitoring.coverage_tests where calibration_state = 'failed' and subject = 'published'"
        ):
            of = row["horizon_code"]
            yield Event(
                f"forecast:calibration:{of}",
                f"{of}: calibration failed",
                f"the 80 % band covered {row['coverage']:.0%}",
            )
        share = threshold("notified_move_share")
        for row in _rows(
            con, "from forecasts.zl_forecast_changes where compared_with = 'previous' and earlier_band_width > 0"
        ):
            moved = row["p50_change"] / row["earlier_band_width"]
            if abs(moved) > share:
                of, when = row["horizon_code"], row["as_of_date"]
                yield Event(
                    f"forecast:move:{of}:{when}",
                    f"{of}: P50 moved by {row['p50_change']:+.2f} to {row['p50']:.2f} cents/lb",
                    f"{abs(moved):.0%} of the 80 % band of {row['earlier_as_of_date']}; as of {when}",
                    is_lasting=False,
                )


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[dict]:
    with suppress(duckdb.CatalogException, duckdb.BinderException):  # published by an earlier version
        return read_rows(con, f"{query} order by all")
    return []


def notify(events: Events) -> list[Delivery]:
    """Send each channel what is new to it and what has recovered, and remember it.

    Parameters
    ----------
    events : Events
        As from `find_events`.

    Returns
    -------
    list of Delivery
        One per channel; empty if none is set. A channel that failed is sent the same again next time.
    """
    file = data_dir() / SENT
    remembered = _read_sent(file)
    sent: dict[str, dict[str, str]] = {}
    deliveries = []
    for number, url in enumerate(channels(), 1):
        digest = hashlib.sha256(url.encode()).hexdigest()
        before = remembered.get(digest, {})
        now = {event.key: event.title for event in events.found}
        new = [event for event in events.found if before.get(event.key) != event.title]
        gone = {key: title for key, title in before.items() if key not in now}
        unknown = {key: title for key, title in gone.items() if key.split(":")[0] in events.unknown}
        recovered = [title for key, title in gone.items() if key not in unknown and ":move:" not in key]
        name, error = _send_changes(number, url, new, recovered)
        deliveries.append(Delivery(name, len(new), len(recovered), error))
        sent[digest] = before if error else now | unknown
        if (
            remembered.get(digest) != sent[digest]
        ):  # at once, since the next channel may hang until this process is killed
            remembered = remembered | {digest: sent[digest]}
            _write_sent(file, remembered)
    if sent != remembered:
        _write_sent(file, sent)
    return deliveries


def channels() -> list[str]:
    """Return the channels.

    Returns
    -------
    list of str
        URLs of ZL_NOTIFY_URLS, which blanks separate. They hold secrets.
    """
    return (read_key(CHANNELS) or "").split()


def send_test() -> list[Delivery]:
    """Send every channel a message, to see whether it arrives.

    Returns
    -------
    list of Delivery
        One per channel.
    """
    text = "This channel works. zl notify writes here when something changes."
    sent = [_send(number, url, "zl-forecast: test", text, "info") for number, url in enumerate(channels(), 1)]
    return [Delivery(name, 1, 0, error) for name, error in sent]


def _send_changes(number: int, url: str, new: Sequence[Event], recovered: Sequence[str]) -> tuple[str, str]:
    if not new and not recovered:
        return _send(number, url, "", "", "info")
    counted = [f"{len(own)} {what}" for own, what in ((new, "new"), (recovered, "recovered")) if own]
    lines = [event.line() for event in new] + [f"Recovered: {printable(title)}" for title in recovered]
    return _send(number, url, f"zl-forecast: {', '.join(counted)}", "\n".join(lines), "warning" if new else "success")


def _send(number: int, url: str, title: str, text: str, level: str) -> tuple[str, str]:
    """Send a message to one channel; return its name and the error. An empty text sends nothing."""
    import apprise  # half a second

    silence_request_logs()
    logger = logging.getLogger("apprise")
    logger.propagate = False  # what it says of a delivery is in the result as well
    asset = apprise.AppriseAsset(
        app_id="zl-forecast", default_service_retry=RETRIES, default_service_wait=FIRST_WAIT_SECONDS
    )
    logger.disabled = True  # it names a URL that it does not know
    channel = apprise.Apprise.instantiate(url, asset=asset)
    logger.disabled = False
    name = f"channel {number} ({channel.service_name})" if channel else f"channel {number}"
    if channel is None:
        return name, (
            f"URL {number} of {CHANNELS} is of no service that Apprise knows. Blanks separate URLs; "
            "https://appriseit.com/services has their forms, for example json://host/path for a web hook of your own."
        )
    if not text:
        return name, ""
    sender = apprise.Apprise(asset=asset)
    sender.add(channel)
    result = sender.notify(body=text, title=title, notify_type=level, body_format="text", timeout=MAX_SECONDS)
    if result:
        return name, ""
    said = [entry.message for entry in result.logs() if entry.level in ("WARNING", "ERROR")]
    reason = printable(redact(said[-1].rstrip("."), _secrets(url))) if said else f"no answer within {MAX_SECONDS} s"
    return name, f"{reason}. It is sent again next time."


def _secrets(url: str) -> list[str]:
    """Return the parts of a URL that may be secret: all but scheme and host."""
    parts = urlsplit(url)
    found = [*parts.path.split("/"), *(value for _, value in parse_qsl(parts.query)), parts.fragment]
    found += parts.netloc.rpartition("@")[0].split(":")
    found = [url, *(form for text in found for form in (text, unquote(text)))]
    # in a form such as slack://token/token/token the host is one as well
    return found if parts.hostname is None or "." in parts.hostname else [*found, parts.netloc]


def _read_sent(file: Path) -> dict[str, dict[str, str]]:
    with suppress(OSError, ValueError):  # missing or damaged: everything counts as new
        sent = json.loads(file.read_text())
        if isinstance(sent, dict) and all(isinstance(own, dict) for own in sent.values()):
            return sent
    return {}


def _write_sent(file: Path, sent: dict[str, dict[str, str]]) -> None:
    fresh = file.with_name(f"{file.name}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(sent, indent=1))
        fresh.replace(file)
    except OSError as error:
        raise ZlForecastError(
            f"{file} cannot be written: {error.strerror}. Free disk space, or give this user write access; until then the "
            "same messages are sent again."
        ) from error

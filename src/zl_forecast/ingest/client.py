"""Requests to publishers: retries with back-off, a time limit, the publisher's rate limit, and checks of the content.

A `Client` serves one source during one run. Its errors, what it keeps and what it logs never hold the access key. With
ZL_MIRROR_URL set, every request goes to that server, with the publisher's host as the first part of the path: for
machines that reach publishers through a mirror, and for tests.
"""

import io
import json
import os
import ssl
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from urllib.parse import urlsplit

import httpx
import tenacity

from zl_forecast.errors import printable
from zl_forecast.ingest.keys import redact, silence_request_logs
from zl_forecast.ingest.sources import Source, SourceError
from zl_forecast.ingest.store import Store

MAX_ATTEMPTS = 5
FIRST_WAIT_SECONDS = 1.0
MAX_WAIT_SECONDS = 60.0
READ_TIMEOUT_SECONDS = 60.0
MAX_BODY_BYTES = 300_000_000
MAX_CLOCK_ERROR_SECONDS = 3600
RETRIED_STATUS = {408, 425, 429, 500, 502, 503, 504}
# some publishers refuse clients that do not name themselves
USER_AGENT = "zl-forecast/0.1 (python-httpx)"
QUOTED_CHARACTERS = 200


@dataclass(frozen=True)
class Response:
    """A response that has passed the content check.

    Attributes
    ----------
    body : bytes
        Content, with *** in place of a key.
    fetched_at : datetime
        When it was received, UTC.
    published_at : datetime or None
        The header Last-Modified, UTC.
    """

    body: bytes
    fetched_at: datetime
    published_at: datetime | None

    def text(self) -> str:
        """Return the content as text.

        Returns
        -------
        str
            Decoded as UTF-8, with or without a byte order mark.

        Raises
        ------
        SourceError
            It is not UTF-8.
        """
        try:
            return self.body.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SourceError(
                "the response is not UTF-8 text", "The publisher may have changed the format: see the raw response."
            ) from None

    def json(self) -> object:
        """Return the content as parsed JSON.

        Returns
        -------
        object
            A list or a dict.
        """
        return json.loads(self.body)


class PublisherUnreachable(SourceError):
    """All attempts have failed, or the time limit has passed."""


class _Transient(Exception):
    """A failure that may pass; with the time that the publisher asks to wait."""

    def __init__(self, problem: str, retry_after: float = 0.0):
        self.problem, self.retry_after = problem, retry_after
        super().__init__(problem)


class Client:
    """HTTP client of one source.

    Parameters
    ----------
    source : Source
        Gives rate limit and time limit.
    store : Store
        Keeps the raw responses.
    keys : iterable of str
        Access keys, which never leave the client in a message or a file.
    first_wait_seconds : float
        Wait before the first retry; it doubles with each further one.
    progress : callable
        Receives a line of text before a wait.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        keys: Iterable[str] = (),
        first_wait_seconds: float = FIRST_WAIT_SECONDS,
        progress: Callable[[str], None] = lambda text: None,
    ):
        silence_request_logs()
        self.source, self.progress = source, progress
        self._store, self._keys, self._first_wait = store, tuple(keys), first_wait_seconds
        self._mirror = os.environ.get("ZL_MIRROR_URL", "").rstrip("/")
        self._pause = 0.0 if self._mirror else source.min_seconds_between_requests
        self._ends_at = time.monotonic() + source.max_seconds
        self._next_at = 0.0
        self._http = httpx.Client(follow_redirects=True, headers={"User-Agent": USER_AGENT}, verify=_trusted())

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self._http.close()

    def get(
        self,
        url: str,
        params: Mapping[str, str | Sequence[str]] | None = None,
        *,
        content: str,
        name: str,
    ) -> Response:
        """Fetch one document, with retries.

        Parameters
        ----------
        url : str
            Without the query.
        params : mapping from str to str or sequence of str, optional
            The query, with a sequence for a name that is repeated; it may hold a key.
        content : {"csv", "json", "zip", "xls", "html"}
            What the document must be.
        name : str
            What is asked for, for messages and the record of raw responses.

        Returns
        -------
        Response
            Its content has been checked.

        Raises
        ------
        SourceError
            There is no such document (its `status` is 404), it is not what was asked for, the publisher refuses, or the
            time limit has passed.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
            wait=self._wait,
            retry=tenacity.retry_if_exception_type(_Transient),
            before_sleep=lambda state: self._announce(name, state),
            reraise=True,
        )
        try:
            return retrying(self._get_once, url, dict(params or {}), content, name)
        except _Transient as failure:
            # without the chain: its exceptions hold the URL
            raise PublisherUnreachable(
                f"{name}: {failure.problem}, after {retrying.statistics.get('attempt_number', MAX_ATTEMPTS)} attempts",
                "Check the network, or try again later; what was landed before is unchanged.",
            ) from None

    def keep(self, name: str, body: bytes, *, url: str) -> None:
        """Keep what a publisher's own library has fetched, as `get` keeps its responses.

        Parameters
        ----------
        name : str
            What was asked for.
        body : bytes
            Content.
        url : str
            Where it came from.
        """
        self._store.keep_response(
            self.source.source,
            name,
            self._clean_bytes(body),
            url=self._clean(url),
            status=200,
            fetched_at=datetime.now(UTC),
        )

    def _get_once(self, url: str, params: dict[str, str | Sequence[str]], content: str, name: str) -> Response:
        time.sleep(max(0.0, self._next_at - time.monotonic()))
        self._next_at = time.monotonic() + self._pause
        host = urlsplit(url).hostname or ""
        address = f"{self._mirror}/{url.split('://', 1)[1]}" if self._mirror else url
        timeout = httpx.Timeout(min(READ_TIMEOUT_SECONDS, self._left(name)))
        try:
            with self._http.stream("GET", address, params=params or None, timeout=timeout) as answer:
                body = self._read(answer, name)
        except httpx.TimeoutException:
            raise _Transient(f"{host} did not answer in time") from None
        except httpx.TransportError as error:
            raise _Transient(f"{host}: {self._clean(str(error)) or type(error).__name__}") from None
        except httpx.HTTPError as error:  # too many redirects, content that cannot be decoded
            raise SourceError(
                f"{name}: {host}: {self._clean(str(error)) or type(error).__name__}", "See the publisher's page."
            ) from None
        fetched_at, body = datetime.now(UTC), self._clean_bytes(body)
        modified = answer.headers.get("Last-Modified", "")
        self._store.keep_response(
            self.source.source,
            name,
            body,
            url=self._clean(str(httpx.URL(url, params=params))),
            status=answer.status_code,
            fetched_at=fetched_at,
            content_type=answer.headers.get("Content-Type", ""),
            last_modified=modified,
        )
        if answer.status_code in RETRIED_STATUS:
            raise _Transient(f"{host} answered {answer.status_code}{_message(body)}", _retry_after(answer))
        if answer.status_code != 200:
            raise SourceError(
                f"{name}: {host} answered {answer.status_code}{_message(body)}",
                self._remedy(answer.status_code),
                answer.status_code,
            )
        self._check_clock(answer, host, fetched_at)
        _check_content(body, content, name, host)
        return Response(body, fetched_at, _parsed_date(modified))

    def _read(self, answer: httpx.Response, name: str) -> bytes:
        parts, size = [], 0
        for part in answer.iter_bytes():
            parts.append(part)
            size += len(part)
            self._left(name)
            if size > MAX_BODY_BYTES:
                raise SourceError(
                    f"{name}: the response is larger than {MAX_BODY_BYTES / 1e6:.0f} MB",
                    "This is not the document that was asked for: see the publisher's page.",
                )
        return b"".join(parts)

    def _left(self, name: str) -> float:
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise PublisherUnreachable(
                f"{name}: not finished after {self.source.max_seconds:.0f} s, the time limit of {self.source.source}",
                "Try again later, or raise max_seconds in seeds/sources.csv.",
            )
        return left

    def _wait(self, state: tenacity.RetryCallState) -> float:
        failure = state.outcome.exception() if state.outcome else None
        asked = failure.retry_after if isinstance(failure, _Transient) else 0.0
        backed_off = min(MAX_WAIT_SECONDS, self._first_wait * 2 ** (state.attempt_number - 1))
        wait = max(asked, backed_off)
        if wait > self._ends_at - time.monotonic():
            raise PublisherUnreachable(
                f"{failure}, and asks to wait {wait:.0f} s, longer than the time limit of {self.source.source}",
                "Try again later, or raise max_seconds in seeds/sources.csv.",
            ) from None
        return wait

    def _announce(self, name: str, state: tenacity.RetryCallState) -> None:
        failure = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0.0
        self.progress(f"{name}: {failure}; next attempt in {wait:.0f} s")

    def _remedy(self, status: int) -> str:
        if status in (400, 401, 403) and self.source.key != "none":
            return f"Check the access key {self.source.key_variable} (environment or .env), and {self.source.documentation}"
        return f"See {self.source.documentation}"

    def _check_clock(self, answer: httpx.Response, host: str, fetched_at: datetime) -> None:
        """Refuse values if this machine's clock is wrong: the day on which they became public would be wrong as well."""
        sent_at = _parsed_date(answer.headers.get("Date", ""))
        if sent_at is None:
            return
        age = answer.headers.get("Age", "0")  # of a copy in the publisher's cache
        error = (fetched_at - sent_at).total_seconds() - (float(age) if age.isdigit() else 0.0)
        if abs(error) > MAX_CLOCK_ERROR_SECONDS:
            raise SourceError(
                f"this machine's clock is {abs(error) / 3600:.1f} hours {'ahead of' if error > 0 else 'behind'} {host}'s",
                "Set the clock: a value's available_on depends on it.",
            )

    def _clean(self, text: str) -> str:
        return redact(text, self._keys)

    def _clean_bytes(self, body: bytes) -> bytes:
        if not any(key.encode() in body for key in self._keys):
            return body
        return self._clean(body.decode("latin-1")).encode("latin-1")


@cache
def _trusted() -> ssl.SSLContext:
    """Return the certificates that every client trusts; reading them takes 20 ms."""
    return httpx.create_ssl_context()


def _message(body: bytes) -> str:
    """Return the publisher's own words from an error response."""
    try:
        answer = json.loads(body)
    except ValueError:
        return ""
    if isinstance(answer, dict):
        for name in ("error_message", "message", "error", "detail"):
            text = answer.get(name)
            text = text.get("message") if isinstance(text, dict) else text
            if isinstance(text, str) and text:
                return f": {printable(text)[:QUOTED_CHARACTERS].rstrip('. ')}"
    return ""


def _retry_after(answer: httpx.Response) -> float:
    """Return the header Retry-After in seconds, which is a number or a date; 0 without one."""
    text = answer.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    instant = _parsed_date(text)
    return max(0.0, (instant - datetime.now(UTC)).total_seconds()) if instant else 0.0


def _parsed_date(text: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _check_content(body: bytes, content: str, name: str, host: str) -> None:
    head = body[:1024].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise SourceError(f"{name}: {host} sent an empty document", "Try again later.")
    if head.startswith(b"<") and content not in ("html", "xml"):
        raise SourceError(
            f"{name}: {host} sent a web page instead of {content.upper()} data",
            "The document may not exist yet, or the publisher refuses automatic requests: see its page.",
        )
    if content == "json":
        try:
            json.loads(body)
        except ValueError:
            raise SourceError(f"{name}: {host} sent JSON that is cut or damaged", "Try again later.") from None
    if content == "zip":
        try:
            with zipfile.ZipFile(io.BytesIO(body)) as archive:
                damaged = archive.testzip()
        except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError):
            damaged = "the archive"
        if damaged:
            raise SourceError(f"{name}: {host} sent a zip file that is cut or damaged", "Try again later.")

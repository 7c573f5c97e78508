"""A loopback server in the place of all publishers: `with Publishers() as publishers` sets ZL_MIRROR_URL.

Bodies are small and made here, in the formats of the publishers. A test changes one with `publishers.answers[path]`.
"""

import csv
import io
import os
import threading
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from zl_forecast.ingest import ingest
from zl_forecast.ingest.run import Outcome
from zl_forecast.ingest.sources import load_sources


@dataclass
class Answer:
    """What the server sends.

    Attributes
    ----------
    body : bytes or str
        Content.
    status : int
        HTTP status.
    headers : dict[str, str]
        Further headers; Date replaces the server's own.
    missing_bytes : int
        Bytes of the announced length that are not sent.
    """

    body: bytes | str = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    missing_bytes: int = 0


Respond = Callable[[dict[str, str]], Answer | str | bytes]


class Publishers:
    """The server; `answers` maps host/path to an answer, a body, or a function of the query (or form).

    A list is a sequence of answers, of which the last one is repeated. Unknown paths are answered with 404.
    """

    def __init__(self, answers: Mapping[str, object] | None = None):
        self.answers: dict[str, object] = dict(answers or {})
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._calls: dict[str, int] = {}

    def __enter__(self) -> "Publishers":
        publishers = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # it would wait 40 ms between headers and body

            def do_GET(self) -> None:
                publishers._answer(self)

            def do_POST(self) -> None:
                form = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                publishers._answer(self, form)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._before = os.environ.get("ZL_MIRROR_URL")
        os.environ["ZL_MIRROR_URL"] = self.url
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        os.environ.pop("ZL_MIRROR_URL")
        if self._before is not None:
            os.environ["ZL_MIRROR_URL"] = self._before

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [path for path, _ in self.requests]

    def _answer(self, handler: BaseHTTPRequestHandler, form: str = "") -> None:
        parts = urlsplit(handler.path)
        path = parts.path.lstrip("/")
        query = {name: values[0] for name, values in parse_qs(f"{parts.query}&{form}").items()}
        self.requests.append((path, query))
        found = self.answers.get(path, Answer("not found", 404))
        if isinstance(found, list):
            call = self._calls[path] = self._calls.get(path, -1) + 1
            found = found[min(call, len(found) - 1)]
        answer = found(query) if callable(found) else found
        answer = answer if isinstance(answer, Answer) else Answer(answer)
        body = answer.body.encode() if isinstance(answer.body, str) else answer.body
        handler.send_response_only(answer.status)
        for name, value in ({"Date": handler.date_time_string()} | answer.headers).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: len(body) - answer.missing_bytes])
        if answer.missing_bytes:
            handler.close_connection = True


def isolate(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return an empty data folder that ingest uses, without keys or folders of the user's."""
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    for variable in (
        "ZL_LANDING_DIR",
        "ZL_EPA_DIR",
        *{source.key_variable for source in load_sources().values() if source.key_variable},
    ):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("zl_forecast.ingest.keys.dotenv_values", lambda file: {})
    return tmp_path / "data"


def ingest_one(data_dir: Path, source: str, table: str = "series", **more: object) -> tuple[Outcome, pd.DataFrame]:
    """Ingest one source; return its outcome and the rows that it has landed in one table."""
    (outcome,) = ingest([source], first_wait_seconds=0.001, **more)
    file = data_dir / "landing" / f"{table}_{source}.parquet"
    return outcome, pd.read_parquet(file) if file.exists() else pd.DataFrame()


def zipped(name: str, text: str) -> bytes:
    """Return a zip file that holds one text."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, text)
    return content.getvalue()


def csv_text(rows: list[list[object]]) -> str:
    """Return rows as CSV with LF line ends."""
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(rows)
    return content.getvalue()

"""What ingest keeps beside the landing files: raw responses, the record of runs, and the lock of the one running ingest.

All of it is in ingest/ of the data folder: `raw/SOURCE/SHA256.gz` with one file per distinct response, and
`ingest.sqlite` with the tables `responses`, `runs` and `pulls`. SQLite, and not the state database: a build holds that
one for minutes, and a killed process leaves a valid SQLite file.
"""

import fcntl
import gzip
import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa

from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import data_dir

RUNS = pa.schema(
    {
        "run_id": pa.string(),
        "source": pa.string(),
        "started_at": pa.timestamp("us", "UTC"),
        "ended_at": pa.timestamp("us", "UTC"),
        "state": pa.string(),
        "n_rows": pa.int64(),
        "n_new": pa.int64(),
        "n_revised": pa.int64(),
        "newest_on": pa.date32(),
        "reason": pa.string(),
    }
)
STATES = ("running", "landed", "unchanged", "partial", "failed", "skipped", "interrupted")
TABLES = """
create table if not exists runs (
    run_id text not null, source text not null, started_at text not null, ended_at text, state text not null,
    n_rows integer, n_new integer, n_revised integer, newest_on text, reason text, primary key (run_id, source)
);
create table if not exists responses (
    source text not null, name text not null, fetched_at text not null, url text not null, status integer not null,
    content_type text, last_modified text, n_bytes integer not null, sha256 text not null
);
create table if not exists pulls (
    source text not null, subject text not null, pulled_at text not null, primary key (source, subject)
);
"""


class Store:
    """The folder ingest/ of the data folder; a context manager that holds the lock.

    Parameters
    ----------
    folder : Path, optional
        ingest/ of the data folder if omitted.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder or data_dir() / "ingest"
        self._open: sqlite3.Connection | None = None  # while locked

    @contextmanager
    def locked(self) -> Iterator["Store"]:
        """Open the store for the one ingest that may run at a time.

        Yields
        ------
        Store
            This store. Runs that a killed process left as `running` are recorded as `interrupted`.

        Raises
        ------
        ZlForecastError
            Another ingest is running, the folder cannot be written, or the database is damaged.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise ZlForecastError(
                f"{self.folder} cannot be written: {error.strerror}. Give this user write access to it."
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise ZlForecastError(
                    f"another ingest is running on {self.folder}. Run this one when it has ended."
                ) from None
            try:
                self._open = sqlite3.connect(self._file, timeout=30)
                # a write-ahead log: one flush to disk per run instead of one per request
                self._open.executescript(f"pragma journal_mode = wal; pragma synchronous = normal; {TABLES}")
                with self._open as con:
                    con.execute(
                        "update runs set state = 'interrupted', reason = 'the process ended before this source did' "
                        "where state = 'running'"
                    )
                yield self
            except sqlite3.DatabaseError as error:
                raise ZlForecastError(
                    f"{self._file} cannot be used: {error}. Free disk space; if the file is damaged, delete it: the next "
                    "run makes a new one, and dates new values by their capture."
                ) from error
            finally:
                if self._open:
                    self._open.close()
                self._open = None

    def begin_run(self, run_id: str, source: str) -> None:
        """Record that a source is being read.

        Parameters
        ----------
        run_id : str
            One per call of ingest.
        source : str
            As in seeds/sources.csv.
        """
        with self._connect() as con:
            con.execute(
                "insert or replace into runs (run_id, source, started_at, state) values (?, ?, ?, 'running')",
                (run_id, source, _now()),
            )

    def end_run(
        self,
        run_id: str,
        source: str,
        state: str,
        *,
        n_rows: int | None = None,
        n_new: int | None = None,
        n_revised: int | None = None,
        newest_on: date | None = None,
        reason: str = "",
    ) -> None:
        """Record the outcome of a source.

        Parameters
        ----------
        run_id, source : str
            As in `begin_run`.
        state : str
            A member of `STATES`.
        n_rows, n_new, n_revised : int, optional
            Rows on file, and rows that were added.
        newest_on : date, optional
            Date of the newest observation or bar.
        reason : str
            Error or note, without keys.
        """
        with self._connect() as con:
            con.execute(
                "update runs set ended_at = ?, state = ?, n_rows = ?, n_new = ?, n_revised = ?, newest_on = ?, reason = ? "
                "where run_id = ? and source = ?",
                (_now(), state, n_rows, n_new, n_revised, newest_on and newest_on.isoformat(), reason, run_id, source),
            )

    def runs(self) -> pa.Table:
        """Return all runs, oldest first.

        Returns
        -------
        pyarrow.Table
            One row per run and source, with the columns of `RUNS`; empty if nothing was ever ingested.

        Raises
        ------
        ZlForecastError
            The database is damaged, or this user cannot read it.
        """
        if not self._file.exists():
            return RUNS.empty_table()
        # while an ingest runs its log is read as well; otherwise nothing is written, not even SQLite's files beside it
        mode = "mode=ro" if self._file.with_name(f"{self._file.name}-wal").exists() else "mode=ro&immutable=1"
        try:
            with closing(sqlite3.connect(f"file:{quote(str(self._file))}?{mode}", uri=True, timeout=30)) as con:
                if not con.execute("select 1 from sqlite_master where name = 'runs'").fetchone():
                    return RUNS.empty_table()  # a process that was killed at its start leaves an empty file
                rows = con.execute(f"select {', '.join(RUNS.names)} from runs order by started_at, rowid").fetchall()
        except sqlite3.DatabaseError as error:
            raise ZlForecastError(
                f"{self._file} cannot be read: {error}. If it is damaged, delete it: the next zl ingest makes a new one, and "
                "dates new values by their capture."
            ) from error
        records = [dict(zip(RUNS.names, row, strict=True)) for row in rows]
        for record in records:
            record["started_at"], record["ended_at"] = map(_instant, (record["started_at"], record["ended_at"]))
            record["newest_on"] = record["newest_on"] and date.fromisoformat(record["newest_on"])
        return pa.Table.from_pylist(records, RUNS)

    def pulled_before(self, source: str, subject: str) -> datetime | None:
        """Return when a series or symbol was last fetched without an error.

        Parameters
        ----------
        source, subject : str
            As given to `note_pulls`.

        Returns
        -------
        datetime or None
            In UTC; None if that is not known.
        """
        with self._connect() as con:
            row = con.execute(
                "select pulled_at from pulls where source = ? and subject = ?", (source, subject)
            ).fetchone()
        return _instant(row[0]) if row else None

    def note_pulls(self, source: str, pulled_at: Mapping[str, datetime]) -> None:
        """Record that series or symbols were fetched without an error.

        Parameters
        ----------
        source : str
            As in seeds/sources.csv.
        pulled_at : mapping from str to datetime
            When each series or symbol was fetched.
        """
        with self._connect() as con:
            con.executemany(
                "insert or replace into pulls values (?, ?, ?)",
                [(source, subject, _text(instant)) for subject, instant in pulled_at.items()],
            )

    def keep_response(
        self,
        source: str,
        name: str,
        body: bytes,
        *,
        url: str,
        status: int,
        fetched_at: datetime,
        content_type: str = "",
        last_modified: str = "",
    ) -> Path:
        """Keep a raw response, compressed. An equal body is kept once.

        Parameters
        ----------
        source, name : str
            Source, and what was asked for.
        body : bytes
            The response, without keys.
        url : str
            Without keys.
        status : int
            HTTP status.
        fetched_at : datetime
            When it was received.
        content_type, last_modified : str
            Headers of the response.

        Returns
        -------
        Path
            The compressed file.
        """
        digest = hashlib.sha256(body).hexdigest()
        file = self.folder / "raw" / source / f"{digest}.gz"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_suffix(f".{os.getpid()}.part")
            part.write_bytes(gzip.compress(body, mtime=0))
            part.replace(file)
        with self._connect() as con:
            con.execute(
                "insert into responses values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (source, name, _text(fetched_at), url, status, content_type, last_modified, len(body), digest),
            )
        return file

    @property
    def _file(self) -> Path:
        return self.folder / "ingest.sqlite"

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        con = self._open or sqlite3.connect(self._file, timeout=30)
        try:
            with con:
                yield con
        finally:
            if con is not self._open:
                con.close()


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds")


def _now() -> str:
    return _text(datetime.now(UTC))


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None

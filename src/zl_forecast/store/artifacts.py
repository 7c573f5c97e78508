"""Finished work on disk: one folder a fingerprint below the artifact folder, and an index that vouches for it.

A fitted model is a pickle, and a pickle is code. So the index (index.sqlite, beside the folders) has the SHA-256 of each file and the library
versions it was written with, and nothing is loaded that the index does not vouch for; it is then computed again. A folder in which anything
else lies (a link, a named pipe, an empty folder, one file more) is refused as a whole, since a pickle may open what lies beside it. Who may
write into the store while a build loads from it can still swap a file between the check and the load: keep it to yourself.

What has not been used for KEPT_DAYS (whole tables: TABLE_KEPT_DAYS) is removed.
"""

import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import artifacts_dir
from zl_forecast.store.fingerprint import library_versions, version_of
from zl_forecast.store.inventory import EMPTY_FOLDER, difference, inventory, is_digest, kind_of, printable

INDEX = "index.sqlite"
INDEX_COLUMNS = (
    "artifact_id text primary key",
    "described text",
    "versions text",
    "files text",
    "sha256 text",
    "written_at text",
)
IS_DAMAGED = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
WAYS_OUT = {
    sqlite3.SQLITE_BUSY: "Another build has been writing for a minute: run the build again when it has ended.",
    sqlite3.SQLITE_FULL: "Free some disk space and run the build again; what was finished is kept.",
    sqlite3.SQLITE_IOERR: "Free some disk space, or see whether the disk is sound, and run the build again.",
    sqlite3.SQLITE_READONLY: "Let this user write it and its folder, and run the build again.",
    sqlite3.SQLITE_CANTOPEN: "Let this user read and write it and its folder, and run the build again.",
}
KEPT_DAYS = 100  # a quarter, so that a change of mind about preset or code finds its fits again
TABLE_KEPT_DAYS = 3  # whole tables are read back on a day without news and made again from their fits on others
DAY_SECONDS = 86_400
DESCRIBED = (
    "bucket",
    "family",
    "kind",
    "fold_start",
    "trained_until",
    "data_fingerprint",
    "code_fingerprint",
    "rows_fingerprint",
)


@dataclass(frozen=True)
class Stored:
    """What the store has under a fingerprint.

    Attributes
    ----------
    folder : Path, optional
        Complete and vouched for; None where there is nothing to be used.
    refused : str
        Why there is something that must not be used: what was changed, with the name; empty otherwise.
    described : dict
        What the one who wrote it said of it, see `write`.
    """

    folder: Path | None
    refused: str = ""
    described: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """A row of the index."""

    artifact_id: str
    described: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str]  # see `inventory`
    sha256: str
    written_at: str

    @classmethod
    def of(cls, row: tuple) -> "_Entry | None":
        """From a row's columns; None where it is not as `write` has written it."""
        name, *texts, sha256, written_at = row
        try:
            parts = [json.loads(text) for text in texts]
            datetime.fromisoformat(written_at)
        except (TypeError, ValueError, RecursionError):
            return None
        is_text = all(isinstance(part, dict) and all(isinstance(v, str) for v in part.values()) for part in parts)
        described, versions, files = parts
        if name is None or not is_text or sha256 != _digest_of(files):
            return None
        return cls(name, described, versions, files, sha256, written_at)


def look_up(fingerprint: str, renew: bool = True) -> Stored:
    """What the store has under a fingerprint, everything in its folder read and compared with the index.

    Parameters
    ----------
    fingerprint : str
        Name of the folder.
    renew : bool
        Whether this look-up is a use, which puts off the day on which `prune` removes the folder. False for commands that only read.
    """
    folder = artifacts_dir() / fingerprint
    with _index() as index:
        row = index.execute("select * from artifacts where artifact_id = ?", [fingerprint]).fetchone()
    if not os.path.lexists(folder):
        return Stored(None, "its folder is gone" if row else "")
    if (kind := kind_of(folder)) != "a folder":
        return Stored(None, f"where its folder should be is {kind}")
    if row is None:
        return Stored(None, "the index does not vouch for it")
    entry = _Entry.of(row)
    if entry is None:
        return Stored(None, "its entry in the index is damaged")
    if changed := changed_versions(entry.versions):
        return Stored(None, f"written with other library versions: {changed}")
    if changed := difference(entry.files, inventory(folder)):
        return Stored(None, changed)
    with suppress(OSError):  # a store that may only be read
        if renew and time.time() - folder.stat().st_mtime > DAY_SECONDS:
            os.utime(folder)  # in use, see `prune`
    return Stored(folder, described=entry.described)


def find(fingerprint: str) -> Path | None:
    """Folder of this fingerprint if it is complete and vouched for, else None; says so where something is refused."""
    stored = look_up(fingerprint)
    if stored.refused:
        print(f"Artifact {fingerprint}: {stored.refused}; it is made again", flush=True)
    return stored.folder


def write(
    fingerprint: str, fill: Callable[[Path], object], versions: dict[str, str] | None = None, **described: object
) -> Path:
    """Let `fill` write into a temporary folder, rename it into place and enter it into the index.

    An interrupted write leaves a temporary folder or one without an entry, which no one reads; those older than a day are removed.

    Parameters
    ----------
    versions : dict, optional
        Library versions that the content depends on; default: all that fits may use.
    **described
        Those of `DESCRIBED` that are known, for the registry.
    """
    try:
        return _written(fingerprint, fill, library_versions() if versions is None else versions, described)
    except OSError as error:
        if error.errno is None and not isinstance(error, shutil.Error):  # not of a file: TimeoutError is one, too
            raise
        raise ZlForecastError(
            f"artifact {fingerprint} could not be written into {artifacts_dir()}: {error}. Free some disk space, or let this user "
            "write there, and run dbt build again; what was finished is kept."
        ) from error


def _written(
    fingerprint: str, fill: Callable[[Path], object], versions: dict[str, str], described: dict[str, object]
) -> Path:
    root = artifacts_dir()
    root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        fill(temporary)
        files = _checked(fingerprint, inventory(temporary))
        final = root / fingerprint
        with _index() as index, _transaction(index):
            _remove(final)  # an older or refused copy
            os.rename(temporary, final)
            index.execute(
                "insert or replace into artifacts values (?, ?, ?, ?, ?, ?)",
                [
                    fingerprint,
                    json.dumps({name: str(described[name]) for name in DESCRIBED if name in described}),
                    json.dumps(versions),
                    json.dumps(files),
                    _digest_of(files),
                    datetime.now(UTC).isoformat(timespec="seconds"),
                ],
            )
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def _checked(fingerprint: str, files: dict[str, str]) -> dict[str, str]:
    """An inventory that can be vouched for."""
    for name, content in files.items():
        if not is_digest(content) and content != EMPTY_FOLDER:
            raise ZlForecastError(
                f"artifact {fingerprint}: {printable(name)} is {content}, and only plain files can be kept. Change the code that "
                "writes it."
            )
    return files


def _digest_of(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    """Remove whatever lies under a path, if anything does; a link itself, not what it points to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def entries() -> pd.DataFrame:
    """The index as a table: artifact_id, `DESCRIBED`, library_versions (JSON), sha256 (of all files' digests), written_at (UTC).

    Damaged rows are left out: what they were for is refused, see `look_up`.
    """
    with _index() as index:
        read = [entry for row in index.execute("select * from artifacts") if (entry := _Entry.of(row)) is not None]
    named = [
        (
            own.artifact_id,
            json.dumps(own.versions),
            own.sha256,
            own.written_at,
            *(own.described.get(c) for c in DESCRIBED),
        )
        for own in read
    ]
    return pd.DataFrame(
        named, columns=["artifact_id", "library_versions", "sha256", "written_at", *DESCRIBED], dtype=object
    )


def prune() -> int:
    """Remove what has not been used for its time, and what interrupted writes have left for a day; the number of folders removed.

    A kept fit of the past costs little and is paid for; a folder that is used has its date renewed by `look_up`.
    """
    root, removed = artifacts_dir(), 0
    if not root.exists():
        return removed
    with _index() as index:
        kept_days = {}
        with _transaction(index):
            for rowid, *row in index.execute("select rowid, * from artifacts").fetchall():
                entry = _Entry.of(row)
                if entry is None:
                    index.execute("delete from artifacts where rowid = ?", [rowid])
                else:
                    kept_days[entry.artifact_id] = KEPT_DAYS if "bucket" in entry.described else TABLE_KEPT_DAYS
        for path in root.iterdir():
            if not path.is_symlink() and not path.is_dir():
                continue
            limit = kept_days.get(path.name, 1)
            with suppress(OSError):  # another process has finished or removed it in between
                if time.time() - path.lstat().st_mtime > limit * DAY_SECONDS:
                    # the entry first: nobody may find half a folder
                    index.execute("delete from artifacts where artifact_id = ?", [path.name])
                    _remove(path)
                    removed += 1
        gone = set(kept_days) - {path.name for path in root.iterdir()}
        index.executemany("delete from artifacts where artifact_id = ?", [[name] for name in gone])
    return removed


def changed_versions(stored: dict[str, str]) -> str:
    """Which libraries have another version now, in words; empty where none has."""
    now = {name: version_of(name) for name in stored}
    return ", ".join(
        f"{name} {stored[name]}, now {now[name] or 'absent'}" for name in stored if stored[name] != now[name]
    )


@contextmanager
def _index() -> Iterator[sqlite3.Connection]:
    """The index, made where there is none; several processes may have it open."""
    file = artifacts_dir() / INDEX
    way_out = f"Remove the folder {file.parent}; the next build fits everything anew."
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_other = file.exists() and not file.is_file()  # SQLite would wait for a named pipe
    except OSError as error:
        raise ZlForecastError(
            f"{file.parent} cannot be used: {error}. It must be a folder in which this user may write."
        ) from error
    if is_other:
        raise ZlForecastError(f"{file} cannot be used: it is {kind_of(file)}. {way_out}")
    index = None
    try:
        index = sqlite3.connect(file, timeout=60, isolation_level=None)
        index.text_factory = lambda text: text.decode(errors="replace")  # what is damaged is refused, not an error
        described = index.execute("select name, type, pk from pragma_table_info('artifacts')").fetchall()
        columns = tuple(f"{name} {kind.lower()}{' primary key' * is_key}" for name, kind, is_key in described)
        if not columns:
            index.execute(f"create table if not exists artifacts ({', '.join(INDEX_COLUMNS)})")
        elif columns != INDEX_COLUMNS:
            raise ZlForecastError(f"{file} cannot be used: its table has the columns {', '.join(columns)}. {way_out}")
        yield index
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest of the code is detail
        advice = way_out if code in IS_DAMAGED else WAYS_OUT.get(code, "Run the build again.")
        raise ZlForecastError(f"{file} cannot be used: {error}. {advice}") from error
    finally:
        if index is not None:
            index.close()


@contextmanager
def _transaction(index: sqlite3.Connection) -> Iterator[None]:
    """One writer at a time; the entry is there when the block has ended, or not at all."""
    index.execute("begin immediate")
    try:
        yield
    except BaseException:
        if index.in_transaction:  # a full disk has ended it
            index.execute("rollback")
        raise
    index.execute("commit")

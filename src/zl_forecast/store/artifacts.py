"""Content-addressed result store: one folder per key, with file digests in a SQLite index.

A fitted model is a pickle, and a pickle can run code when it is loaded. The index (index.sqlite, beside the
folders) therefore holds the SHA-256 of each file and the library versions it was written with. Only folders
that match the index are loaded; all others are computed again. A folder with anything unexpected in it (a link,
a named pipe, an empty folder, an extra file) is refused as a whole, because a pickle may open files beside it.
A user with write access to the store can still swap a file between the check and the load, so restrict access
to that folder.

Folders that have not been used for KEPT_DAYS (whole tables: TABLE_KEPT_DAYS) are removed.
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
DAMAGE_CODES = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
REMEDIES = {
    sqlite3.SQLITE_BUSY: "Another build has been writing for a minute: wait until it ends, then run the build again.",
    sqlite3.SQLITE_FULL: "Free some disk space and run the build again; finished results are kept.",
    sqlite3.SQLITE_IOERR: "Free some disk space or check the disk, and run the build again.",
    sqlite3.SQLITE_READONLY: "Give this user write access to it and its folder, and run the build again.",
    sqlite3.SQLITE_CANTOPEN: "Give this user read and write access to it and its folder, and run the build again.",
}
KEPT_DAYS = 100  # keep fits for one quarter, so that switching a preset or branch back does not refit
TABLE_KEPT_DAYS = 3  # whole tables only save time while the inputs are unchanged; they are rebuilt from cached fits
DAY_SECONDS = 86_400
DESCRIBED = (
    "bucket",
    "family",
    "fold_type",
    "fold_start",
    "trained_until",
    "data_fingerprint",
    "code_fingerprint",
    "rows_fingerprint",
)
OLD_NAMES = {"kind": "fold_type"}  # in entries of older versions


@dataclass(frozen=True)
class Stored:
    """Result of a look-up in the store.

    Attributes
    ----------
    folder : Path, optional
        Folder of the verified result, or None if there is none.
    refused : str
        Reason why an existing result must not be used, naming what changed; empty otherwise.
    described : dict
        Metadata passed to `write`.
    """

    folder: Path | None
    refused: str = ""
    described: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Entry:
    """One row of the index."""

    artifact_id: str
    described: dict[str, str]
    versions: dict[str, str]
    files: dict[str, str]  # see `inventory`
    sha256: str
    written_at: str

    @classmethod
    def of(cls, row: tuple) -> "_Entry | None":
        """Parse a row of the index; None if it is not in the form that `write` produces."""
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
        described = {OLD_NAMES.get(key, key): value for key, value in described.items()}
        return cls(name, described, versions, files, sha256, written_at)


def look_up(fingerprint: str, renew: bool = True) -> Stored:
    """Look up a fingerprint, and verify every file in its folder against the index.

    Parameters
    ----------
    fingerprint : str
        Name of the folder.
    renew : bool
        Whether this look-up counts as a use, which delays removal by `prune`. False for read-only commands.

    Returns
    -------
    Stored
        `folder` is None if the result is missing or refused.

    Raises
    ------
    ZlForecastError
        If the index cannot be used.
    """
    folder = artifacts_dir() / fingerprint
    with _index() as index:
        row = index.execute("select * from artifacts where artifact_id = ?", [fingerprint]).fetchone()
    if not os.path.lexists(folder):
        return Stored(None, "its folder is missing" if row else "")
    if (kind := kind_of(folder)) != "a folder":
        return Stored(None, f"its path is {kind}, not a folder")
    if row is None:
        return Stored(None, "not in the index")
    entry = _Entry.of(row)
    if entry is None:
        return Stored(None, "its entry in the index is damaged")
    if changed := changed_versions(entry.versions):
        return Stored(None, f"written with other library versions: {changed}")
    if changed := difference(entry.files, inventory(folder)):
        return Stored(None, changed)
    with suppress(OSError):  # the store may be read-only
        if renew and time.time() - folder.stat().st_mtime > DAY_SECONDS:
            os.utime(folder)  # in use, see `prune`
    return Stored(folder, described=entry.described)


def find(fingerprint: str) -> Path | None:
    """Return the verified folder of a fingerprint, or None; print the reason if a result is refused.

    Parameters
    ----------
    fingerprint : str
        Name of the folder.

    Returns
    -------
    Path or None
        Folder of the verified result.

    Raises
    ------
    ZlForecastError
        If the index cannot be used.
    """
    stored = look_up(fingerprint)
    if stored.refused:
        print(f"Artifact {fingerprint}: {stored.refused}; recomputing", flush=True)
    return stored.folder


def write(
    fingerprint: str, fill: Callable[[Path], object], versions: dict[str, str] | None = None, **described: object
) -> Path:
    """Write a result: fill a temporary folder, rename it into place and enter it into the index.

    An interrupted write leaves a temporary folder or a folder without an entry, which is never read; `prune`
    removes those older than a day.

    Parameters
    ----------
    fingerprint : str
        Name of the folder. An existing result under it is replaced.
    fill : callable (Path) -> object
        Writes the files into the folder it is given; its return value is ignored.
    versions : dict, optional
        Library versions that the content depends on; default: those of all libraries that fits may use.
    **described
        Metadata for the model registry; only names in `DESCRIBED` are kept.

    Returns
    -------
    Path
        Final folder.

    Raises
    ------
    ZlForecastError
        If the folder or the index cannot be written, or `fill` left something other than plain files.
    Exception
        Any other exception that `fill` raises.
    """
    try:
        return _write_and_index(fingerprint, fill, library_versions() if versions is None else versions, described)
    except OSError as error:
        if error.errno is None and not isinstance(error, shutil.Error):  # not a file error, for example a TimeoutError
            raise
        raise ZlForecastError(
            f"artifact {fingerprint} could not be written into {artifacts_dir()}: {error}. Free some disk space, or give this "
            "user write access, and run dbt build again; finished results are kept."
        ) from error


def _write_and_index(
    fingerprint: str, fill: Callable[[Path], object], versions: dict[str, str], described: dict[str, object]
) -> Path:
    root = artifacts_dir()
    root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        fill(temporary)
        files = _check_files(fingerprint, inventory(temporary))
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


def _check_files(fingerprint: str, files: dict[str, str]) -> dict[str, str]:
    """Return the inventory if it holds only plain files and empty folders, else raise."""
    for name, content in files.items():
        if not is_digest(content) and content != EMPTY_FOLDER:
            raise ZlForecastError(
                f"artifact {fingerprint}: {printable(name)} is {content}, but only plain files can be stored. Change the code "
                "that writes it."
            )
    return files


def _digest_of(files: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _remove(path: Path) -> None:
    """Remove a path if it exists; of a link, only the link itself."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def entries() -> pd.DataFrame:
    """Return the index as a table.

    Damaged rows are left out; their results are refused, see `look_up`.

    Returns
    -------
    DataFrame
        One row per artifact: artifact_id, library_versions (JSON), sha256 (of all file digests), written_at
        (UTC, ISO 8601) and the columns `DESCRIBED`, None if unknown.

    Raises
    ------
    ZlForecastError
        If the index cannot be used.
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
    """Remove results that have not been used within their retention time, and remains of interrupted writes.

    `look_up` renews the date of a folder that is used. Remains of interrupted writes are kept for a day.

    Returns
    -------
    int
        Number of folders removed.

    Raises
    ------
    ZlForecastError
        If the index cannot be used.
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
            with suppress(OSError):  # another process has renamed or removed it meanwhile
                if time.time() - path.lstat().st_mtime > limit * DAY_SECONDS:
                    # delete the index entry first, so that no reader sees a partial folder
                    index.execute("delete from artifacts where artifact_id = ?", [path.name])
                    _remove(path)
                    removed += 1
        missing = set(kept_days) - {path.name for path in root.iterdir()}
        index.executemany("delete from artifacts where artifact_id = ?", [[name] for name in missing])
    return removed


def changed_versions(stored: dict[str, str]) -> str:
    """List the libraries whose installed version differs from a stored one.

    Parameters
    ----------
    stored : dict of str to str
        Version by top-level package, see `fingerprint.library_versions`.

    Returns
    -------
    str
        For example 'numpy 1.26.4, now 2.0.1'; empty if nothing has changed.
    """
    now = {name: version_of(name) for name in stored}
    return ", ".join(
        f"{name} {stored[name]}, now {now[name] or 'absent'}" for name in stored if stored[name] != now[name]
    )


@contextmanager
def _index() -> Iterator[sqlite3.Connection]:
    """Open the index and create it if it does not exist; several processes may have it open."""
    file = artifacts_dir() / INDEX
    remedy = f"Remove the folder {file.parent}; the next build refits everything."
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        is_other = file.exists() and not file.is_file()  # SQLite would wait for a named pipe
    except OSError as error:
        raise ZlForecastError(
            f"{file.parent} cannot be used: {error}. It must be a folder that this user can write to."
        ) from error
    if is_other:
        raise ZlForecastError(f"{file} cannot be used: it is {kind_of(file)}. {remedy}")
    index = None
    try:
        index = sqlite3.connect(file, timeout=60, isolation_level=None)
        index.text_factory = lambda text: text.decode(errors="replace")  # damaged entries are refused later
        described = index.execute("select name, type, pk from pragma_table_info('artifacts')").fetchall()
        columns = tuple(f"{name} {dtype.lower()}{' primary key' * is_key}" for name, dtype, is_key in described)
        if not columns:
            index.execute(f"create table if not exists artifacts ({', '.join(INDEX_COLUMNS)})")
        elif columns != INDEX_COLUMNS:
            raise ZlForecastError(f"{file} cannot be used: its table has the columns {', '.join(columns)}. {remedy}")
        yield index
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the lowest byte is the primary code
        if code not in DAMAGE_CODES:
            remedy = REMEDIES.get(code, "Run the build again.")
        raise ZlForecastError(f"{file} cannot be used: {error}. {remedy}") from error
    finally:
        if index is not None:
            index.close()


@contextmanager
def _transaction(index: sqlite3.Connection) -> Iterator[None]:
    """Run the body of the `with` statement as one exclusive write transaction; roll back if it raises."""
    index.execute("begin immediate")
    try:
        yield
    except BaseException:
        if index.in_transaction:  # SQLite has rolled back already if the disk is full
            index.execute("rollback")
        raise
    index.execute("commit")

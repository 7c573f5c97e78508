"""Finished work on disk: one folder a fingerprint below the artifact folder, and an index that vouches for it.

A fitted model is a pickle, and a pickle is code. So the index (index.sqlite, beside the folders) has the SHA-256 of each file and the library
versions it was written with, and nothing is loaded that the index does not vouch for; it is then computed again. What has not been used
for KEPT_DAYS (whole tables: TABLE_KEPT_DAYS) is removed.
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
from zl_forecast.fingerprint import library_versions
from zl_forecast.paths import artifacts_dir

INDEX = "index.sqlite"
TABLE = "table.parquet"
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


def look_up(fingerprint: str) -> Stored:
    """What the store has under a fingerprint, every file read and compared with the index."""
    folder = artifacts_dir() / fingerprint
    with _index() as index:
        row = index.execute(
            "select versions, files, described from artifacts where artifact_id = ?", [fingerprint]
        ).fetchone()
    if not folder.is_dir():
        return Stored(None, "its folder is gone" if row else "")
    if row is None:
        return Stored(None, "the index does not vouch for it")
    versions, files, described = map(json.loads, row)
    if changed := changed_versions(versions):
        return Stored(None, f"written with other library versions: {changed}")
    present = {f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file()}
    if present != set(files):
        names = ", ".join(sorted(present ^ set(files)))
        return Stored(None, f"files missing or added: {names}")
    for name, expected in files.items():
        if _sha256(folder / name) != expected:
            return Stored(None, f"{name} was changed since it was written")
    if time.time() - folder.stat().st_mtime > DAY_SECONDS:
        with suppress(OSError):  # a store that may only be read
            os.utime(folder)  # in use, see `prune`
    return Stored(folder, described=described)


def find(fingerprint: str) -> Path | None:
    """Folder of this fingerprint if it is complete and vouched for, else None; says so where something is refused."""
    stored = look_up(fingerprint)
    if stored.refused:
        print(f"Artifact {fingerprint}: {stored.refused}; it is made again", flush=True)
    return stored.folder


def write(fingerprint: str, fill: Callable[[Path], None], **described: object) -> Path:
    """Let `fill` write into a temporary folder, rename it into place and enter it into the index.

    An interrupted write leaves a temporary folder or one without an entry, which no one reads; those older than a day are removed.

    Parameters
    ----------
    **described
        Those of `DESCRIBED` that are known, for the registry.
    """
    root = artifacts_dir()
    root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=root))
    try:
        fill(temporary)
        files = {f.relative_to(temporary).as_posix(): _sha256(f) for f in sorted(temporary.rglob("*")) if f.is_file()}
        final = root / fingerprint
        with _index() as index, _transaction(index):
            if final.exists():  # an older or refused copy
                shutil.rmtree(final)
            os.rename(temporary, final)
            index.execute(
                "insert or replace into artifacts values (?, ?, ?, ?, ?, ?)",
                [
                    fingerprint,
                    json.dumps({name: str(described[name]) for name in DESCRIBED if name in described}),
                    json.dumps(library_versions()),
                    json.dumps(files),
                    hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest(),
                    datetime.now(UTC).isoformat(timespec="seconds"),
                ],
            )
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def remember(fingerprint: str, table: pd.DataFrame) -> None:
    """Keep a whole table under the fingerprint of all that it was made from."""
    write(fingerprint, lambda folder: table.to_parquet(folder / TABLE))


def remembered(fingerprint: str) -> pd.DataFrame | None:
    """The table that was kept under a fingerprint; None where there is none."""
    folder = find(fingerprint)
    return None if folder is None else pd.read_parquet(folder / TABLE)


def entries() -> pd.DataFrame:
    """The index as a table: artifact_id, `DESCRIBED`, library_versions (JSON), sha256 (of all files' digests), written_at (UTC)."""
    with _index() as index:
        rows = index.execute("select artifact_id, described, versions, sha256, written_at from artifacts").fetchall()
    described = pd.DataFrame([json.loads(row[1]) for row in rows], columns=list(DESCRIBED), dtype=object)
    named = pd.DataFrame(rows, columns=["artifact_id", "described", "library_versions", "sha256", "written_at"])
    return pd.concat([named.drop(columns="described"), described], axis=1).astype("object")


def pruned_entries() -> pd.DataFrame:
    """`entries`, after `prune`."""
    prune()
    return entries()


def prune() -> int:
    """Remove what has not been used for its time, and what interrupted writes have left for a day; the number of folders removed.

    A kept fit of the past costs little and is paid for; a folder that is used has its date renewed by `look_up`.
    """
    root, removed = artifacts_dir(), 0
    if not root.exists():
        return removed
    with _index() as index:
        kept_days = {
            name: KEPT_DAYS if "bucket" in json.loads(described) else TABLE_KEPT_DAYS
            for name, described in index.execute("select artifact_id, described from artifacts")
        }
        for folder in root.iterdir():
            if not folder.is_dir():
                continue
            limit = kept_days.get(folder.name, 1)
            with suppress(FileNotFoundError):  # another process has finished or removed it in between
                if time.time() - folder.stat().st_mtime > limit * DAY_SECONDS:
                    # the entry first: nobody may find half a folder
                    index.execute("delete from artifacts where artifact_id = ?", [folder.name])
                    shutil.rmtree(folder, ignore_errors=True)
                    removed += 1
        gone = set(kept_days) - {folder.name for folder in root.iterdir()}
        index.executemany("delete from artifacts where artifact_id = ?", [[name] for name in gone])
    return removed


def changed_versions(stored: dict[str, str]) -> str:
    """Which libraries have another version now, in words; empty where none has."""
    now = library_versions()
    names = sorted(name for name in {*stored, *now} if stored.get(name) != now.get(name))
    return ", ".join(f"{name} {stored.get(name, 'absent')}, now {now.get(name, 'absent')}" for name in names)


@contextmanager
def _index() -> Iterator[sqlite3.Connection]:
    """The index, made where there is none; several processes may have it open."""
    file = artifacts_dir() / INDEX
    file.parent.mkdir(parents=True, exist_ok=True)
    index = sqlite3.connect(file, timeout=60, isolation_level=None)
    try:
        index.execute(
            "create table if not exists artifacts (artifact_id text primary key, described text, versions text, files text, "
            "sha256 text, written_at text)"
        )
        yield index
    except sqlite3.OperationalError as error:
        raise ZlForecastError(
            f"{file}: {error}. Another build may be writing, or the disk be full: run the build again."
        ) from error
    except sqlite3.DatabaseError as error:
        raise ZlForecastError(
            f"{file} cannot be used: {error}. Remove the folder {file.parent}; the next build fits everything anew."
        ) from error
    finally:
        index.close()


@contextmanager
def _transaction(index: sqlite3.Connection) -> Iterator[None]:
    """One writer at a time; the entry is there when the block has ended, or not at all."""
    index.execute("begin immediate")
    try:
        yield
    except BaseException:
        index.execute("rollback")
        raise
    index.execute("commit")


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()

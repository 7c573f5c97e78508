"""The published snapshot: what BI tools read, independent of running builds.

A snapshot is a folder serving/snapshots/<id> with serving.duckdb, one Parquet file per table, report.html
and manifest.json, which has the SHA-256 of each. Tables and columns carry their descriptions: as comments in
DuckDB, as metadata of schema and fields (`description`) in Parquet. It is written under a temporary name, checked by reading
it back, and renamed. Then the link serving/current is switched to it in one atomic step. A reader sees the
old snapshot or the new one, never a mixture; a reader with an open file keeps the old one. A build that
fails does not publish.

A snapshot never changes. Its files are read-only, and before an existing snapshot is published again, every
file is compared with the manifest. If any differs, the snapshot is written again beside the damaged one, as
<id>-2. Everything below serving is readable by all users, whatever the umask. Access to the data folder
depends on its own permissions, which no build changes.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TextIO

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zl_forecast import page
from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import serving_dir
from zl_forecast.queries import read_value
from zl_forecast.store.inventory import difference, inventory, is_digest, kind_of

SNAPSHOTS_KEPT = 3  # readers open Parquet files one by one, so the folder must outlive the switch
HASHED_DECIMALS = 6  # with 9, one value in a build came to lie on a boundary, see `_facts`
BUILD_TABLES = {
    "monitoring.run_plan",
    "monitoring.ingest_runs",
}  # describe the build or ingest; a change in them alone does not make a new snapshot
LINKS = ("serving.duckdb", "parquet", "report.html")  # links beside `current` that keep paths in BI tools short
MANIFEST = "manifest.json"
DSN = "ZL_POSTGRES_DSN"  # connection string; without it there is no PostgreSQL
WRITING = ".writing-"
FILE_MODE = 0o444
FOLDER_MODE = 0o755  # not 0555, so that its owner can remove it with plain `rm -r`
MAX_WAIT_SECONDS = 600
POLL_SECONDS = 0.1

Descriptions = dict[str, dict[str, str]]  # text by column, by 'schema.table'; '' is the table itself


def publish(
    tables: dict[str, duckdb.DuckDBPyRelation],
    descriptions: Descriptions | None = None,
    keys: dict[str, list[str]] | None = None,
) -> pd.DataFrame:
    """Publish tables as one snapshot, and in PostgreSQL if ZL_POSTGRES_DSN is set. The same content is not published twice.

    Parameters
    ----------
    tables : dict of str to DuckDBPyRelation
        Relation by 'schema.table'. Must include the tables that the report page reads, such as
        forecasts.zl_forecast.
    descriptions : dict of str to dict of str to str, optional
        Text by column, by 'schema.table'; the text of the table itself has the key ''. See `read_descriptions`.
    keys : dict of str to list of str, optional
        Columns of the primary key, by 'schema.table'; the manifest and PostgreSQL have them.

    Returns
    -------
    DataFrame
        One row per table: table_schema, table_name, n_rows, content_hash, snapshot_id.

    Raises
    ------
    ZlForecastError
        The snapshot cannot be written, or does not read back as written (a full disk, for example). The last
        published snapshot stays.
    """
    facts = pd.DataFrame([_facts(name, relation) for name, relation in sorted(tables.items())])
    named = facts["table_schema"] + "." + facts["table_name"]
    identity = "".join((named + facts["content_hash"])[~named.isin(BUILD_TABLES)])
    # a better text or new code of the page makes a new snapshot of the same data
    described = {name: (descriptions or {}).get(name, {}) for name in sorted(tables)}
    keys = {name: (keys or {}).get(name, []) for name in sorted(tables)}
    identity += json.dumps([described, keys], sort_keys=True) + page.code_fingerprint()
    snapshot_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    facts["snapshot_id"] = snapshot_id
    root = serving_dir()
    snapshots = root / "snapshots"
    try:
        for folder in (root, snapshots):
            folder.mkdir(parents=True, exist_ok=True)
            _make_readable(folder)
        with _publishing_lock(root):
            _remove_unfinished(snapshots)
            final = _find(snapshots, snapshot_id) or _write(tables, described, keys, facts, snapshots)
            _switch(root, final)
            _prune(snapshots, keep=final)
    except (OSError, duckdb.OperationalError, duckdb.FatalException) as error:
        raise ZlForecastError(
            f"snapshot {snapshot_id} could not be published in {root}: {error}. Free some disk space, or give this user write access, "
            "and run dbt build again. The last published snapshot is untouched."
        ) from error
    if os.environ.get(DSN):
        from zl_forecast.postgres import publish_to_postgres  # psycopg is needed here only

        written = publish_to_postgres(final)
        print(
            f"PostgreSQL: {len(written)} of {len(tables)} tables written" if written else "PostgreSQL: unchanged",
            flush=True,
        )
    return facts


def read_descriptions(con: duckdb.DuckDBPyConnection) -> Descriptions:
    """Read the comments on tables and columns of all databases of a connection.

    Parameters
    ----------
    con : DuckDBPyConnection
        Of the warehouse, with the state attached.

    Returns
    -------
    dict of str to dict of str to str
        Comment by column, by 'schema.table'; that of the table itself has the key ''.
    """
    rows = con.execute(
        """
        select schema_name || '.' || table_name, '', comment from duckdb_tables() where comment is not null
        union all
        select schema_name || '.' || table_name, column_name, comment from duckdb_columns() where comment is not null
        """
    ).fetchall()
    descriptions: Descriptions = {}
    for table, column, comment in rows:
        descriptions.setdefault(table, {})[column] = comment.strip()
    return descriptions


@contextmanager
def _publishing_lock(root: Path) -> Iterator[None]:
    """Wait until no other process publishes here. The system releases the lock when its holder ends."""
    with (root / ".lock").open("a+") as lock:
        ends = None
        while not _try_lock(lock):
            if ends is None:
                ends = time.monotonic() + MAX_WAIT_SECONDS
                lock.seek(0)
                holder = f"process {lock.read().strip() or 'unknown'}"
                print(f"Waiting for {holder}, which is publishing in {root}", flush=True)
            if time.monotonic() > ends:
                raise ZlForecastError(
                    f"{holder} has been publishing in {root} for more than {MAX_WAIT_SECONDS} s. Wait until it ends, or end it, and "
                    "run dbt build again. The last published snapshot is untouched."
                )
            time.sleep(POLL_SECONDS)
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _try_lock(lock: TextIO) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _facts(name: str, relation: duckdb.DuckDBPyRelation) -> dict:
    schema, table = name.split(".")
    columns = [
        # rounded because the last digits of an average depend on the order of threads; + 0.0 turns -0 into 0
        f"round({_quoted(column)}, {HASHED_DECIMALS}) + 0.0" if str(kind) in ("DOUBLE", "FLOAT") else _quoted(column)
        for column, kind in zip(relation.columns, relation.types, strict=True)
    ]
    # a sum does not depend on the order of rows
    [(rows, content)] = relation.aggregate(
        f"count(*), coalesce(sum(hash({', '.join(columns)})::hugeint), 0)::varchar"
    ).fetchall()
    shape = hashlib.sha256(repr((relation.columns, list(map(str, relation.types)))).encode()).hexdigest()[:8]
    return {"table_schema": schema, "table_name": table, "n_rows": rows, "content_hash": f"{rows}:{content}:{shape}"}


def _find(snapshots: Path, snapshot_id: str) -> Path | None:
    """Return the newest undamaged folder of a snapshot, or None; print what is wrong with damaged ones."""
    for folder in sorted(snapshots.glob(f"{snapshot_id}*"), key=lambda folder: (len(folder.name), folder.name))[::-1]:
        fault = _fault(folder)
        if not fault:
            return folder
        print(f"Snapshot {folder.name}: {fault}; writing it again", flush=True)
    return None


def _fault(folder: Path) -> str:
    """Describe how a snapshot differs from its manifest; empty if it does not. Reads every file once."""
    if (kind := kind_of(folder)) != "a folder":
        return f"it is {kind}, not a folder"
    found = inventory(folder)
    if not is_digest(found.pop(MANIFEST, "")):
        return f"it has no {MANIFEST}"
    text = (folder / MANIFEST).read_text(errors="replace")
    try:
        manifest = json.loads(text)
        is_whole = text == _manifest(manifest["tables"], manifest["files"])
    except (ValueError, TypeError, KeyError, RecursionError):
        is_whole = False
    return difference(manifest["files"], found) if is_whole else f"{MANIFEST} was changed since it was written"


def _manifest(tables: list[dict], files: dict[str, str]) -> str:
    """Return the text of a manifest, with its own digest, so that changes to it are detected."""
    content = {"tables": tables, "files": files}
    return json.dumps({**content, "sha256": hashlib.sha256(json.dumps(content).encode()).hexdigest()}, indent=1)


def _write(
    tables: dict[str, duckdb.DuckDBPyRelation],
    descriptions: Descriptions,
    keys: dict[str, list[str]],
    facts: pd.DataFrame,
    snapshots: Path,
) -> Path:
    """Write a snapshot and return its folder."""
    temporary = Path(tempfile.mkdtemp(prefix=WRITING, dir=snapshots))
    try:
        (temporary / "parquet").mkdir()
        with duckdb.connect(str(temporary / "serving.duckdb")) as serving:
            for fact in facts.itertuples():
                name = f"{fact.table_schema}.{fact.table_name}"
                arrow = _with_descriptions(tables[name].to_arrow_table(), descriptions[name])
                target = f"{_quoted(fact.table_schema)}.{_quoted(fact.table_name)}"
                serving.execute(f"create schema if not exists {_quoted(fact.table_schema)}")
                serving.register("incoming", arrow)
                serving.execute(f"create table {target} as select * from incoming")
                serving.unregister("incoming")
                _comment(serving, target, descriptions[name])
                pq.write_table(arrow, temporary / "parquet" / f"{name}.parquet", compression="zstd")
            serving.execute("checkpoint")
        with duckdb.connect(str(temporary / "serving.duckdb"), read_only=True) as check:
            for fact in facts.itertuples():
                target = f"{_quoted(fact.table_schema)}.{_quoted(fact.table_name)}"
                file = temporary / "parquet" / f"{fact.table_schema}.{fact.table_name}.parquet"
                for source in (target, f"'{_escaped(file)}'"):
                    rows = read_value(check, f"select count(*) from {source}")
                    if rows != fact.n_rows:
                        raise ZlForecastError(
                            f"snapshot: {source} has {rows} rows instead of {fact.n_rows}. The disk may be full: free some "
                            "space and run dbt build again. The last published snapshot is untouched."
                        )
            (temporary / "report.html").write_text(page.render(check), encoding="utf-8")
        described = facts[["table_schema", "table_name", "n_rows", "content_hash", "snapshot_id"]].to_dict("records")
        described = [row | {"key": keys[f"{row['table_schema']}.{row['table_name']}"]} for row in described]
        (temporary / MANIFEST).write_text(_manifest(described, inventory(temporary)))
        for path in [temporary, *temporary.rglob("*")]:  # BI tools may run as another user, and the umask may be 077
            os.chmod(path, FOLDER_MODE if path.is_dir() else FILE_MODE)
        final = _unused_folder(snapshots, facts["snapshot_id"].iloc[0])
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    if not os.stat(serving_dir().parent).st_mode & 0o001:
        print(f"Other users cannot enter {serving_dir().parent}: run `chmod o+x` on it to let BI tools in", flush=True)
    return final


def _with_descriptions(table: pa.Table, texts: dict[str, str]) -> pa.Table:
    """Return a table with the descriptions as metadata of its schema and its fields."""

    def metadata(name: str) -> dict[str, str] | None:
        return {"description": texts[name]} if name in texts else None

    fields = [field.with_metadata(metadata(field.name)) for field in table.schema]
    return table.cast(pa.schema(fields, metadata=metadata("")))


def _comment(con: duckdb.DuckDBPyConnection, table: str, texts: dict[str, str]) -> None:
    """Write the descriptions of a table and its columns as comments; `comment on` takes no parameters."""
    for column, text in texts.items():
        place = f"column {table}.{_quoted(column)}" if column else f"table {table}"
        con.execute("comment on {} is '{}'".format(place, text.replace("'", "''")))


def _unused_folder(snapshots: Path, snapshot_id: str) -> Path:
    """Return an unused name, <id>, <id>-2, <id>-3 ...; a damaged snapshot stays for its readers until pruned."""
    names = (f"{snapshot_id}-{number}" if number > 1 else snapshot_id for number in count(1))
    return next(snapshots / name for name in names if not os.path.lexists(snapshots / name))


def _make_readable(folder: Path) -> None:
    mode = folder.stat().st_mode
    if mode & FOLDER_MODE != FOLDER_MODE:
        os.chmod(folder, (mode | FOLDER_MODE) & 0o7777)


def _switch(root: Path, final: Path) -> None:
    """Point serving/current to a snapshot, atomically; the short links beside it never change."""
    with suppress(OSError):  # the folder belongs to another user
        os.utime(final)  # mark as the newest, see `_prune`
    _link(root / "current", Path("snapshots") / final.name)
    for name in LINKS:
        _link(root / name, Path("current") / name)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    if link.is_dir() and not link.is_symlink():
        raise ZlForecastError(
            f"{link} is a folder, expected a link (a copy may have followed links). Remove it and run dbt build again."
        )
    fresh = link.with_name(f".{link.name}-new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)


def _prune(snapshots: Path, keep: Path) -> None:
    """Remove all snapshots but the most recently published ones."""
    visible = (f for f in snapshots.iterdir() if f != keep and not f.name.startswith("."))
    folders = [f for f in visible if kind_of(f) == "a folder"]
    folders.sort(key=lambda folder: folder.stat().st_mtime, reverse=True)
    for folder in folders[SNAPSHOTS_KEPT - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_unfinished(snapshots: Path) -> None:
    """Remove the remains of interrupted publications; the lock ensures that no other process publishes."""
    for folder in snapshots.glob(f"{WRITING}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")

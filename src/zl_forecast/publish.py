"""The published snapshot: what BI tools read while builds come and go.

A snapshot is a folder serving/snapshots/<id> with serving.duckdb, one Parquet file a table and report.html. It is written
under a temporary name, checked by reading it back, renamed, and then the link serving/current is switched to it: one
atomic step, so a reader sees the old snapshot or the new one, never half of either, and one that holds the old file open
keeps reading it. A build that fails never gets here.
"""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import duckdb
import pandas as pd

from zl_forecast import report
from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import serving_dir

SNAPSHOTS_KEPT = 3  # a reader of Parquet files opens them one by one: the folder must outlive the switch
HASHED_DECIMALS = 9
OF_THE_BUILD = {"monitoring.run_plan"}  # says what a build did; the same forecasts are not published twice for it
LINKS = ("serving.duckdb", "parquet", "report.html")  # beside `current`, so that paths in BI tools stay short


def publish(tables: dict[str, duckdb.DuckDBPyRelation]) -> pd.DataFrame:
    """Publish tables as one snapshot; the same content is not published twice.

    Parameters
    ----------
    tables : dict
        'schema.table' to relation. Must hold forecasts.zl_forecast.

    Returns
    -------
    DataFrame
        One row a table: table_schema, table_name, n_rows, content_hash, snapshot_id.

    Raises
    ------
    ZlForecastError
        The written snapshot does not read back as it was written (a full disk, for example); nothing is switched.
    """
    facts = pd.DataFrame([_facts(name, relation) for name, relation in sorted(tables.items())])
    named = facts["table_schema"] + "." + facts["table_name"]
    identity = "".join((named + facts["content_hash"])[~named.isin(OF_THE_BUILD)])
    snapshot_id = hashlib.sha256(identity.encode()).hexdigest()[:16]
    facts["snapshot_id"] = snapshot_id
    root = serving_dir()
    final = root / "snapshots" / snapshot_id
    if not final.exists():
        _write(tables, facts, final)
    _switch(root, final)
    _prune(root, keep=final)
    return facts


def _facts(name: str, relation: duckdb.DuckDBPyRelation) -> dict:
    schema, table = name.split(".")
    columns = [
        # the last digits of an average depend on the order in which threads finished; + 0.0 makes -0 a 0
        f"round({_quoted(column)}, {HASHED_DECIMALS}) + 0.0" if str(kind) in ("DOUBLE", "FLOAT") else _quoted(column)
        for column, kind in zip(relation.columns, relation.types, strict=True)
    ]
    # a sum, since it does not depend on the order of rows either
    rows, content = relation.aggregate(
        f"count(*), coalesce(sum(hash({', '.join(columns)})::hugeint), 0)::varchar"
    ).fetchone()
    return {"table_schema": schema, "table_name": table, "n_rows": rows, "content_hash": f"{rows}:{content}"}


def _write(tables: dict[str, duckdb.DuckDBPyRelation], facts: pd.DataFrame, final: Path) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".writing-", dir=final.parent))
    try:
        (temporary / "parquet").mkdir()
        with duckdb.connect(str(temporary / "serving.duckdb")) as serving:
            for fact in facts.itertuples():
                arrow = tables[f"{fact.table_schema}.{fact.table_name}"].to_arrow_table()
                target = f"{_quoted(fact.table_schema)}.{_quoted(fact.table_name)}"
                serving.execute(f"create schema if not exists {_quoted(fact.table_schema)}")
                serving.register("incoming", arrow)
                serving.execute(f"create table {target} as select * from incoming")
                serving.unregister("incoming")
                file = temporary / "parquet" / f"{fact.table_schema}.{fact.table_name}.parquet"
                serving.execute(f"copy {target} to '{_escaped(file)}' (format parquet, compression zstd)")
            serving.execute("checkpoint")
        with duckdb.connect(str(temporary / "serving.duckdb"), read_only=True) as check:
            for fact in facts.itertuples():
                target = f"{_quoted(fact.table_schema)}.{_quoted(fact.table_name)}"
                file = temporary / "parquet" / f"{fact.table_schema}.{fact.table_name}.parquet"
                for source in (target, f"'{_escaped(file)}'"):
                    rows = check.execute(f"select count(*) from {source}").fetchone()[0]
                    if rows != fact.n_rows:
                        raise ZlForecastError(
                            f"snapshot: {source} reads back {rows} rows of {fact.n_rows}. The disk may be full: free some "
                            "space and run dbt build again. The last published snapshot is untouched."
                        )
            (temporary / "report.html").write_text(report.render(check), encoding="utf-8")
        manifest = facts[["table_schema", "table_name", "n_rows", "snapshot_id"]].to_dict("records")
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1))
        os.chmod(temporary, 0o755)  # mkdtemp makes it private; BI tools may run as another user
        os.rename(temporary, final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _switch(root: Path, final: Path) -> None:
    """Point serving/current at a snapshot, atomically; the short links beside it never change."""
    _link(root / "current", Path("snapshots") / final.name)
    for name in LINKS:
        if not (root / name).is_symlink():
            _link(root / name, Path("current") / name)


def _link(link: Path, target: Path) -> None:
    fresh = link.with_name(f".{link.name}-{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    os.replace(fresh, link)
    os.utime(link.parent)


def _prune(root: Path, keep: Path) -> None:
    """Remove all but the newest snapshots, and what interrupted builds left behind."""
    folders = [f for f in (root / "snapshots").iterdir() if f != keep]
    complete = sorted((f for f in folders if not f.name.startswith(".")), key=lambda f: f.stat().st_mtime, reverse=True)
    for folder in [*complete[SNAPSHOTS_KEPT - 1 :], *(f for f in folders if f.name.startswith("."))]:
        shutil.rmtree(folder, ignore_errors=True)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _escaped(path: Path) -> str:
    return str(path).replace("'", "''")

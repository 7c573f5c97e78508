"""Compare every published number of two builds: python -m benchmarks.compare_builds OLD_WAREHOUSE NEW_WAREHOUSE

Use it for refactorings that must not change results. Both warehouses, and the state beside each, are opened read-only.
Tables that exist in both are compared row by row: numbers up to a relative TOLERANCE, everything else exactly. Columns
that say when, where or how fast something was computed (NOT_RESULTS) are ignored. Name renamed tables and columns in
JSON: --renamed '{"old.table": "new.table", "old.table.column": "column"}'. The exit code is 1 if a table
that both have differs.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from zl_forecast.databases import open_warehouse

TOLERANCE = 1e-9
SCHEMAS = ("features", "forecasts", "intermediate", "monitoring", "tournament", "validation")
NOT_RESULTS = re.compile(
    r".*seconds.*|.*_at|fingerprint|.*_fingerprint|artifact_id|table_ids|sha256|model_version|library_versions|snapshot_id|content_hash"
)
# these list files and builds, not results
NOT_COMPARED = {
    "monitoring.published_snapshot",
    "monitoring.finished_build",
    "tournament.int_tournament__artifacts",
    "tournament.int_plan__fits",
}


def tables(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Return all tables of SCHEMAS as schema.table, each with its database: the warehouse or the state."""
    listed = con.sql("select table_schema, table_name, table_catalog from information_schema.tables").fetchall()
    found = {f"{schema}.{name}": database for schema, name, database in listed if schema in SCHEMAS}
    return {name: database for name, database in found.items() if name not in NOT_COMPARED}


def results(con: duckdb.DuckDBPyConnection, database: str, table: str, renamed: dict[str, str]) -> pd.DataFrame:
    """Read a table under its new names, without NOT_RESULTS; columns that are not numeric become text."""
    frame = con.sql(f"select * from {database}.{table}").df()
    frame = frame.rename(columns={name: renamed.get(f"{table}.{name}", name) for name in frame})
    frame = frame[[name for name in frame if not NOT_RESULTS.fullmatch(name)]]
    for name in frame:
        if not pd.api.types.is_numeric_dtype(frame[name]) or pd.api.types.is_bool_dtype(frame[name]):
            frame[name] = frame[name].astype("string")
    return frame


def difference(old: pd.DataFrame, new: pd.DataFrame) -> str:
    """Describe the differences between two tables; empty if there are none. Rows are sorted by all columns first."""
    lost, added = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    differences = [f"without {', '.join(lost)}"] if lost else []
    differences += [f"with {', '.join(added)}"] if added else []
    shared = [name for name in old if name in set(new)]
    exact = [name for name in shared if not pd.api.types.is_float_dtype(old[name])]
    numbers = [name for name in shared if name not in exact]
    old, new = (frame.sort_values([*exact, *numbers], ignore_index=True) for frame in (old, new))
    if len(old) != len(new):
        return "; ".join([*differences, f"{len(old)} rows, now {len(new)}"])
    for name in exact:
        differs = ~(old[name].astype("string").fillna("") == new[name].astype("string").fillna(""))
        if differs.any():
            row = differs.idxmax()
            differences.append(
                f"{name}: {differs.sum()} of {len(old)} rows, first {old[name][row]!r}, now {new[name][row]!r}"
            )
    for name in numbers:
        a, b = (frame[name].to_numpy(float, na_value=np.nan) for frame in (old, new))
        close = np.isclose(a, b, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        if not close.all():
            row = int((~close).argmax())
            differences.append(
                f"{name}: {(~close).sum()} of {len(a)} rows, largest {np.nanmax(np.abs(a - b)):.3g}, first {a[row]!r}, now {b[row]!r}"
            )
    return "; ".join(differences)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--renamed", type=json.loads, default={}, help="JSON: old table or column to its new name")
    arguments = parser.parse_args()
    with open_warehouse("", arguments.old) as old, open_warehouse("", arguments.new) as new:
        return compare(old, new, arguments.renamed)


def compare(old: duckdb.DuckDBPyConnection, new: duckdb.DuckDBPyConnection, renamed: dict[str, str]) -> int:
    """Print the differences by table; return 1 if there are any."""
    before, after = tables(old), tables(new)
    names = {table: renamed.get(table, table) for table in sorted(before)}
    is_same = True
    for table, now in names.items():
        if now not in after:
            print(f"{table}: missing")
            is_same = False
            continue
        first, second = results(old, before[table], table, renamed), results(new, after[now], now, {})
        differences = difference(first, second)
        print(f"{table}: {differences or f'equal, {len(first)} rows, {first.shape[1]} columns'}")
        is_same &= not differences
    for table in sorted(after.keys() - set(names.values())):
        print(f"{table}: new")
    print("All tables are equal." if is_same else "Some tables differ.")
    return 0 if is_same else 1


if __name__ == "__main__":
    sys.exit(main())

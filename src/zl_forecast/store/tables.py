"""Tables in the store, and the decorator of functions from tables to a table."""

from collections.abc import Callable
from functools import wraps

import duckdb
import pandas as pd

from zl_forecast.store import artifacts, fingerprint

TABLE = "table.parquet"
TRIED_AGAIN = ("failed", "timed_out")


def read_table(key: str) -> pd.DataFrame | None:
    """The table under a key; None where there is none."""
    folder = artifacts.find(key)
    return None if folder is None else pd.read_parquet(folder / TABLE)


def write_table(key: str, table: pd.DataFrame, versions: dict[str, str] | None = None) -> None:
    """Keep a table under a key; `versions` as in `artifacts.write`."""
    artifacts.write(key, lambda folder: table.to_parquet(folder / TABLE), versions)


def cached_table(key: str, compute: Callable[[], pd.DataFrame], versions: dict[str, str] | None = None) -> pd.DataFrame:
    """The table under a key, computed and kept if it is not there yet; `versions` as in `artifacts.write`."""
    table = read_table(key)
    if table is None:
        table = compute()
        if "status" not in table or not table["status"].isin(TRIED_AGAIN).any():
            write_table(key, table, versions)
    return table


def stored(function: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """A function of data frames that is computed once for the same rows, code and library versions.

    Called with DuckDB relations, it looks up its result in the store by their contents, and only reads them into data frames where it has
    to compute. Called with data frames it computes. A column `module` of a relation names code as well: registries are data. A table in
    which something failed is not kept, so that the next build tries again.
    """

    @wraps(function)
    def cached(*tables: duckdb.DuckDBPyRelation | pd.DataFrame) -> pd.DataFrame:
        if not all(isinstance(table, duckdb.DuckDBPyRelation) for table in tables):
            return function(*tables)
        registered = {
            module for table in tables if "module" in table.columns for (module,) in table.select("module").fetchall()
        }
        modules = (function.__module__, *sorted(registered))
        versions = fingerprint.library_versions(*modules)
        key = fingerprint.combine(
            function.__qualname__,
            fingerprint.of_code(*modules),
            versions,
            [fingerprint.of_relation(table) for table in tables],
        )
        return cached_table(key, lambda: with_text_columns(function(*(table.df() for table in tables))), versions)

    return cached


def with_text_columns(table: pd.DataFrame) -> pd.DataFrame:
    """The table with text where a column of objects has no value at all: DuckDB would take such a column for integers."""
    empty = [name for name in table if table[name].dtype == object and table[name].isna().all()]
    return table.astype(dict.fromkeys(empty, "string")) if empty else table

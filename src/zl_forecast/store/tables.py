"""Tables in the store, and a decorator that caches functions from tables to a table."""

from collections.abc import Callable
from functools import wraps

import duckdb
import pandas as pd

from zl_forecast.store import artifacts, fingerprint

TABLE = "table.parquet"
TRIED_AGAIN = ("failed", "timed_out")


def read_table(key: str) -> pd.DataFrame | None:
    """Read the table under a key.

    Parameters
    ----------
    key : str
        Fingerprint.

    Returns
    -------
    DataFrame or None
        None on a cache miss.
    """
    folder = artifacts.find(key)
    return None if folder is None else pd.read_parquet(folder / TABLE)


def write_table(key: str, table: pd.DataFrame, versions: dict[str, str] | None = None) -> None:
    """Store a table under a key.

    Parameters
    ----------
    key : str
        Fingerprint.
    table : DataFrame
    versions : dict, optional
        Library versions that the table depends on, see `artifacts.write`.
    """
    artifacts.write(key, lambda folder: table.to_parquet(folder / TABLE), versions)


def cached_table(key: str, compute: Callable[[], pd.DataFrame], versions: dict[str, str] | None = None) -> pd.DataFrame:
    """Read the table under a key, or compute and store it on a cache miss.

    A table with a status in `TRIED_AGAIN` is returned but not stored, so that the next build retries it.

    Parameters
    ----------
    key : str
        Fingerprint.
    compute : callable () -> DataFrame
        Called on a cache miss only.
    versions : dict, optional
        Library versions that the table depends on, see `artifacts.write`.

    Returns
    -------
    DataFrame
    """
    table = read_table(key)
    if table is None:
        table = compute()
        if "status" not in table or not table["status"].isin(TRIED_AGAIN).any():
            write_table(key, table, versions)
    return table


def stored(function: Callable[..., pd.DataFrame]) -> Callable[..., pd.DataFrame]:
    """Decorate a function of data frames, so that results are cached by rows, code and library versions.

    Called with DuckDB relations, the decorated function looks up its result by their content, and loads them
    into data frames only on a cache miss. Called with data frames, it always computes. Modules named in a
    column `module` of a relation count as code, because registries are data. A table with a failed row is not
    stored, so that the next build retries it.

    Parameters
    ----------
    function : callable (DataFrame, ...) -> DataFrame
        Must be deterministic.

    Returns
    -------
    callable
        With the same arguments and result.
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
    """Convert object columns without any value to text; DuckDB would read them as integers.

    Parameters
    ----------
    table : DataFrame

    Returns
    -------
    DataFrame
    """
    empty = [name for name in table if table[name].dtype == object and table[name].isna().all()]
    return table.astype(dict.fromkeys(empty, "string")) if empty else table

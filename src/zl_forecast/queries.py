"""Queries that always have one row, such as an aggregate without groups."""

from typing import Any

import duckdb


def read_row(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> tuple:
    """Run a query that always has a row, and return its first row.

    Parameters
    ----------
    con : DuckDBPyConnection
        Where the query runs.
    query : str
        SQL.
    parameters : list, tuple or dict, optional
        Values of the query's parameters.

    Returns
    -------
    tuple
        One value per column.

    Raises
    ------
    LookupError
        There is no row, so the query is wrong.

    Examples
    --------
    >>> read_row(duckdb.connect(), "select count(*), max(x) from range(?) as numbers(x)", [3])
    (3, 2)
    """
    row = con.execute(query, parameters).fetchone()
    if row is None:
        raise LookupError(f"a query that must have one row has none: {query}")
    return row


def read_value(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> Any:
    """Run a query that always has a row, and return the first value of that row.

    Parameters
    ----------
    con : DuckDBPyConnection
        Where the query runs.
    query : str
        SQL.
    parameters : list, tuple or dict, optional
        Values of the query's parameters.

    Returns
    -------
    object
        In the Python type of the column.

    Raises
    ------
    LookupError
        There is no row, so the query is wrong.

    Examples
    --------
    >>> read_value(duckdb.connect(), "select 6 * 7")
    42
    """
    return read_row(con, query, parameters)[0]

"""Queries that always have one row, like an aggregate without groups."""

from typing import Any

import duckdb


def read_row(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> tuple:
    """The row of a query that always has one.

    Raises
    ------
    LookupError
        It has none: the query is wrong.
    """
    row = con.execute(query, parameters).fetchone()
    if row is None:
        raise LookupError(f"a query that must have one row has none: {query}")
    return row


def read_value(con: duckdb.DuckDBPyConnection, query: str, parameters: object = None) -> Any:
    """The first value of the row of a query that always has one; errors as in `read_row`."""
    return read_row(con, query, parameters)[0]

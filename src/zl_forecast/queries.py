"""Reading query results: one row that always exists, one value, or rows in plain Python types."""

from typing import Any

import duckdb

Row = dict[str, Any]


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


def read_rows(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    """Run a query and return its rows in plain Python types.

    It takes no parameters, for which DuckDB would import pandas: half a second.

    Parameters
    ----------
    con : DuckDBPyConnection
        Where the query runs.
    query : str
        SQL.

    Returns
    -------
    list of dict
        One value by column name per row; None for a missing value or NaN.

    Examples
    --------
    >>> read_rows(duckdb.connect(), "select 'crush' as bucket, 'nan'::double as skill")
    [{'bucket': 'crush', 'skill': None}]
    """
    result = con.execute(query)
    names = [column[0] for column in result.description or ()]
    return [
        {name: None if value != value else value for name, value in zip(names, row, strict=True)}
        for row in result.fetchall()
    ]


def has_table(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether a snapshot has a table; snapshots of older versions lack some.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.
    name : str
        'schema.table'.

    Returns
    -------
    bool
    """
    found = con.execute(
        "select 1 from duckdb_tables() where schema_name || '.' || table_name = ? "
        "union all select 1 from duckdb_views() where schema_name || '.' || view_name = ?",
        [name, name],
    ).fetchone()
    return found is not None

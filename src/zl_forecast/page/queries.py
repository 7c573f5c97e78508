"""Rows of the snapshot as dictionaries, so that templates and charts read them by name."""

from typing import Any

import duckdb

Row = dict[str, Any]


def read_rows(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    """Run a query and return its rows.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.
    query : str
        SQL.

    Returns
    -------
    list of dict
        Values by column name; missing values, also NaN, are None.

    Examples
    --------
    >>> read_rows(duckdb.connect(), "select 1 as a, 'nan'::double as b")
    [{'a': 1, 'b': None}]
    """
    cursor = con.execute(query)
    names = [column[0] for column in cursor.description or []]
    return [{name: _or_none(value) for name, value in zip(names, row, strict=True)} for row in cursor.fetchall()]


def _or_none(value: Any) -> Any:
    return None if value != value else value  # only NaN differs from itself


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

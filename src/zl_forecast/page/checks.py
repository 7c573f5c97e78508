"""The data checks: what the gate found in each bucket's features, so that nobody needs GX Data Docs to read it."""

import duckdb

from zl_forecast.queries import Row, read_rows


def read_checks(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the results of the gate per suite.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.gx_results.

    Returns
    -------
    list of dict
        bucket, bucket_status, n_checks, n_failed (critical), n_warnings, and `failures`, the expectations that did not hold.
    """
    suites = read_rows(
        con,
        """
        select bucket, any_value(bucket_status) as bucket_status, count(*) as n_checks,
            count(*) filter (not is_success and severity = 'critical') as n_failed,
            count(*) filter (not is_success and severity != 'critical') as n_warnings
        from monitoring.gx_results
        group by bucket
        order by n_failed desc, n_warnings desc, bucket
        """,
    )
    failures = read_rows(
        con,
        """
        select bucket, expectation, column_name, severity, observed_value, unexpected_count, details
        from monitoring.gx_results
        where not is_success
        order by bucket, severity, expectation_number
        """,
    )
    return [row | {"failures": [own for own in failures if own["bucket"] == row["bucket"]]} for row in suites]

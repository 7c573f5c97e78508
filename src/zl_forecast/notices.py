"""What a reader must know before the numbers: buckets that are missing, and active fallbacks."""

import csv

import duckdb

from zl_forecast import formats
from zl_forecast.paths import seed
from zl_forecast.queries import read_rows, read_value

CONTROL = "control"  # a bucket that is no input of the forecast


def missing_buckets(con: duckdb.DuckDBPyConnection) -> str:
    """Report that fewer buckets took part than exist.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        Sentences for the reader; empty if all buckets took part.
    """
    rows = con.sql("select buckets_offered from forecasts.zl_forecast order by horizon_days").fetchall()
    fewest = min(((row[0] or "").split() for row in rows), key=len)
    most_before = read_value(
        con,
        """
        select max(len(string_split(buckets_offered, ' ')))
        from forecasts.zl_forecast_ledger
        where data_source in (select data_source from forecasts.zl_forecast)
        """,
    )
    with seed("buckets").open(newline="", encoding="utf-8") as file:
        registered = sum(row["bucket"] != CONTROL for row in csv.DictReader(file))
    all_ = max(registered, most_before or 0)  # earlier builds may have had more buckets
    if len(fewest) >= all_:
        return ""
    return (
        f"Only {len(fewest)} of {all_} buckets took part: {', '.join(fewest) or 'none'}. The others were quarantined (see "
        "monitoring.gx_results) or left out of this build (var buckets)."
    )


def active_fallbacks(con: duckdb.DuckDBPyConnection) -> str:
    """Report that the reference is published instead of a method whose calibration has failed.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb.

    Returns
    -------
    str
        Sentences for the reader, with the reason per horizon; empty if there is no active fallback.
    """
    rows = read_rows(con, "from forecasts.zl_forecast order by horizon_days")
    reason = "; ".join(
        f"{formats.horizon(row['horizon_days'])}: {row['fallback_reason']}"
        for row in rows
        if row.get("fallback_reason")  # a version without fallbacks has no such column
    )
    return f"Fallback to the reference until calibration recovers. {reason}." if reason else ""

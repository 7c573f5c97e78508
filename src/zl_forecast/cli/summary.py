"""`zl summary`: the newest forecasts, what to know before relying on them, and where to read on."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import duckdb

from zl_forecast.cli.output import Column, in_local_time, print_table, say, short_path
from zl_forecast.databases import snapshot_file
from zl_forecast.notices import active_fallbacks, missing_buckets
from zl_forecast.paths import data_docs_dir, serving_dir
from zl_forecast.queries import read_row, read_rows, read_value

COLUMNS = (
    Column("horizon", "horizon_code"),
    Column("target", "target_date"),
    Column("P10", "p10", ".2f"),
    Column("P50", "p50", ".2f"),
    Column("P90", "p90", ".2f"),
    Column("up", "prob_up", ".0%"),
    Column("verdict", "verdict"),
    Column("calibration", "calibration_state"),
    Column("skill", "backtest_pinball_skill", "+z.1%"),
    Column("80% cover", "backtest_coverage_80", ".0%", is_optional=True),
    Column("method", "ensemble_method", is_optional=True),
)


def read_summary(con: duckdb.DuckDBPyConnection, horizons: Sequence[str]) -> dict[str, Any]:
    """Read the newest forecasts, and what a reader must know about them.

    Parameters
    ----------
    con : DuckDBPyConnection
        The published snapshot.
    horizons : sequence of str
        Codes of the horizons to read.

    Returns
    -------
    dict
        zl_forecast (rows), warnings and notes (sentences), landing (the files read; one sentence).
    """
    rows = read_rows(con, "from forecasts.zl_forecast order by horizon_days")
    rows = [row for row in rows if row["horizon_code"] in horizons]
    return {"zl_forecast": rows, "warnings": _warnings(con), "notes": _notes(con), "landing": _landing(con)}


def print_summary(summary: dict[str, Any]) -> None:
    """Print what `read_summary` returned: warnings first.

    Parameters
    ----------
    summary : dict
        As from `read_summary`.
    """
    first = summary["zl_forecast"][0]
    say()
    say(
        f"Soybean oil (CBOT ZL), cents/lb, as of {first['as_of_date']}: last {first['last_price']:.2f}, regime "
        f"{first['regime']}, {first['data_source']} data, made {in_local_time(first['made_at'])}",
        "bold",
    )
    for warning in summary["warnings"]:
        say(f"Warning: {warning}", "yellow")
    say()
    print_table(summary["zl_forecast"], COLUMNS)
    say()
    say(
        "P10 to P90 is the 80 % band. verdict: has the forecast beaten the reference, a random walk? skill: by how much, out of "
        "sample. calibration: does the band cover as it should?",
        "dim",
    )
    for note in summary["notes"]:
        say(note)
    say()
    say(summary["landing"], may_wrap=False)
    say(f"For BI: {short_path(snapshot_file())} (schemas forecasts, monitoring)", may_wrap=False)
    say(f"Data quality: {short_path(data_docs_dir())}", may_wrap=False)
    if first["data_source"] == "simulated":
        say("This is the simulated market. To forecast real data: make ingest build", "yellow", False)
    say(f"Next: open {short_path(serving_dir() / 'report.html')}; `zl health` shows what to watch.", "bold", False)


def _warnings(con: duckdb.DuckDBPyConnection) -> list[str]:
    found = [active_fallbacks(con), missing_buckets(con)]
    quarantined = read_value(
        con,
        "select string_agg(distinct bucket, ', ' order by bucket) from monitoring.gx_results where bucket_status = 'quarantined'",
    )
    if quarantined:
        found.append(f"Quarantined buckets (left out of the forecast): {quarantined}. See monitoring.gx_results.")
    with suppress(duckdb.BinderException):  # published by an earlier version
        as_of, newest_seen_on = read_row(con, "select max(as_of_date), max(newest_seen_on) from forecasts.zl_forecast")
        if newest_seen_on and newest_seen_on > as_of:
            found.append(
                f"This forecast is older than the newest session in this data folder ({newest_seen_on}), because the var "
                "allow_earlier_as_of is set. Its rows in the ledgers are marked is_hindsight."
            )
    return [warning for warning in found if warning]


def _notes(con: duckdb.DuckDBPyConnection) -> list[str]:
    """List reselections, and forecasts of another market in the data folder."""
    reselections = read_rows(
        con,
        """
        select string_agg(bucket, ', ' order by bucket) as buckets, trigger, any_value(as_of_date) as as_of_date
        from (
            select bucket, trigger, (select max(as_of_date) from forecasts.zl_forecast) as as_of_date
            from monitoring.run_plan where action = 'reselection'
        )
        group by trigger order by trigger
        """,
    )
    others = read_rows(
        con,
        """
        select data_source, count(*) as n_forecasts from forecasts.zl_forecast_ledger
        where data_source not in (select data_source from forecasts.zl_forecast)
        group by data_source order by data_source
        """,
    )
    return [
        f"Reselected on {own['as_of_date']} ({own['trigger']}): {own['buckets']}. See monitoring.run_history, "
        "monitoring.promotions."
        for own in reselections
    ] + [
        f"This data folder also holds {other['n_forecasts']} forecasts of another market (data_source = "
        f"'{other['data_source']}'); plan, accuracy and health exclude them."
        for other in others
    ]


def _landing(con: duckdb.DuckDBPyConnection) -> str:
    """Name the landing files behind the snapshot, and count their findings."""
    try:
        folder, files = read_row(
            con,
            "select any_value(folder), string_agg(file_name, ', ' order by file_name) from monitoring.landing_files where status = 'read'",
        )
        n_findings = read_value(con, "select count(*) from monitoring.landing_findings where severity <> 'info'")
    except duckdb.CatalogException:  # published by an earlier version
        return "Landing: unknown; the next build records it."
    counted = f"; {n_findings} findings in monitoring.landing_findings (`zl check` prints them)" if n_findings else ""
    return f"Landing: {folder} ({files}){counted}"

"""`zl leaderboard`: the families of a bucket or the methods of the ensemble, by horizon, with reasons."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from zl_forecast.cli.names import choose, known_names
from zl_forecast.cli.output import Column, format_or_dash, open_console, print_table, say, short_path
from zl_forecast.databases import open_snapshot, open_warehouse, snapshot_file
from zl_forecast.errors import ZlForecastError, printable
from zl_forecast.paths import serving_dir, tournament_warehouse, warehouse
from zl_forecast.queries import read_rows

ENSEMBLE = "ensemble"
FAMILY_COLUMNS = (
    Column("rank", "rank", "d"),
    Column("family", "family"),
    Column("score", "selection_score", "+.4f"),
    Column("skill", "pinball_skill", "+z.1%"),
    Column("80% cover", "coverage_80", ".0%"),
    Column("p (Holm)", "p_value_holm", ".3f"),
    Column("verdict", "verdict"),
    Column("vs carry", "carry_skill", "+z.1%", is_optional=True),
    Column("RMSE %", "rmse_pct", ".2f", is_optional=True),
    Column("fit s", "fit_seconds_total", ".1f", is_optional=True),
    Column("score s", "score_seconds", ".4f", is_optional=True),
)
METHOD_COLUMNS = (
    Column("rank", "rank", "d"),
    Column("method", "ensemble_method"),
    Column("skill", "pinball_skill", "+z.2%"),
    Column("p (bench.)", "benchmark_p_value_holm", ".3f"),
    Column("weight", "shrinkage_weight", ".0%"),
    Column("80%", "coverage_80", ".0%"),
    Column("width", "relative_width_80", ".2f"),
    Column("p (ref.)", "dm_p_value", ".3f", is_optional=True),
    Column("vs carry", "carry_skill", "+z.1%", is_optional=True),
    Column("50%", "coverage_50", ".0%", is_optional=True),
    Column("90%", "coverage_90", ".0%", is_optional=True),
    Column("fit s", "fit_seconds", ".2f", is_optional=True),
    Column("score s", "score_seconds", ".2f", is_optional=True),
)


def read_families(bucket: str, horizons: Sequence[str], families: Sequence[str], of_tournament: bool) -> dict[str, Any]:
    """Read a bucket's leaderboard, and the explanations of its champions' forecasts.

    Parameters
    ----------
    bucket : str
        Bucket of seeds/buckets.csv.
    horizons : sequence of str
        Codes of the horizons to read.
    families : sequence of str
        Families to read; empty for all.
    of_tournament : bool
        Whether to read the last `make tournament` instead of the published snapshot.

    Returns
    -------
    dict
        leaderboard and forecast_explanations (rows).

    Raises
    ------
    ZlForecastError
        There is no leaderboard yet.
    InvalidArgument
        The bucket or a family does not exist.
    """
    remedy = f"Run {'' if of_tournament else '`make build`, or '}`make tournament BUCKET={bucket}`."
    with open_warehouse(remedy, tournament_warehouse()) if of_tournament else open_snapshot() as con:
        try:
            board = read_rows(con, "from monitoring.leaderboard order by horizon_days, rank")
        except duckdb.CatalogException as error:
            raise ZlForecastError(f"{_file(of_tournament)} has no leaderboard yet. {remedy}") from error
        explanations = read_rows(con, "from monitoring.forecast_explanations order by horizon_days, rank")
    known = [*known_names("buckets", "bucket"), *sorted({row["bucket"] for row in board}), ENSEMBLE]
    choose("bucket", bucket, known)
    board = [row for row in board if row["bucket"] == bucket and row["horizon_code"] in horizons]
    if not board:
        raise ZlForecastError(f"monitoring.leaderboard in {_file(of_tournament)} has no bucket '{bucket}'. {remedy}")
    for family in families:
        choose("family", family, [row["family"] for row in board])
    shown = {row["horizon_days"] for row in board}
    return {
        "leaderboard": [row for row in board if not families or row["family"] in families],
        "forecast_explanations": [
            row for row in explanations if row["bucket"] == bucket and row["horizon_days"] in shown
        ],
    }


def print_families(tables: dict[str, Any], of_tournament: bool, autogluon: str) -> None:
    """Print a bucket's leaderboard by horizon.

    Parameters
    ----------
    tables : dict
        As from `read_families`.
    of_tournament : bool
        Whether it is that of the last `make tournament`.
    autogluon : str
        AutoGluon's own leaderboard; empty if it is not asked for.
    """
    board = tables["leaderboard"]
    bucket = board[0]["bucket"]
    for days, code in dict.fromkeys((row["horizon_days"], row["horizon_code"]) for row in board):
        say()
        say(f"{bucket}, {code}", "bold")
        print_table([row for row in board if row["horizon_days"] == days], FAMILY_COLUMNS, note="reason")
        explanations = [row for row in tables["forecast_explanations"] if row["horizon_days"] == days]
        if explanations:
            say("What moves the champion's forecast:", "dim")
        for row in explanations:
            say(f"  {row['rank']}. {row['explanation']}", "dim")
    say()
    say(
        "skill: 1 - pinball loss / reference loss, out of fold; vs carry: the same against carry. fit s: seconds to fit all folds; score s: seconds per forecast. "
        "p (Holm): one-sided Diebold-Mariano test against the reference, adjusted for the number of families.",
        "dim",
    )
    if autogluon:
        say()
        say(
            "AutoGluon's own leaderboard on the newest year's fold, all horizons (minus pinball loss of standardised returns):"
        )
        open_console().out("\n".join(map(printable, autogluon.split("\n"))), highlight=False)
    file = short_path(_file(of_tournament))
    say(f"Read on: monitoring.leaderboard, feature_attributions, forecast_explanations in {file}.", may_wrap=False)
    best = (
        ""
        if autogluon
        else f"`zl leaderboard {bucket}{' --tournament' if of_tournament else ''} --autogluon` adds AutoGluon's own; "
    )
    say(f"Next: {best}`zl leaderboard ensemble` shows how the buckets are combined.", "bold")


def autogluon_board(bucket: str, of_tournament: bool) -> str:
    """Return AutoGluon's own leaderboard of a bucket's families, as text.

    Parameters
    ----------
    bucket : str
        Bucket of seeds/buckets.csv.
    of_tournament : bool
        Whether to read the last `make tournament` instead of the last build.

    Returns
    -------
    str
        A table, and the reasons of families that are not on it.

    Raises
    ------
    ZlForecastError
        There is no warehouse yet, or the store has none of its models.
    """
    from zl_forecast.tournament.leaderboard import newest_year  # imports AutoGluon, which takes seconds

    file = tournament_warehouse() if of_tournament else warehouse()
    with open_warehouse(f"Run `make tournament BUCKET={bucket}`.", file) as con:
        return newest_year(bucket, con)


def _file(of_tournament: bool) -> Path:
    return tournament_warehouse() if of_tournament else snapshot_file()


def read_methods(con: duckdb.DuckDBPyConnection, horizons: Sequence[str]) -> dict[str, Any]:
    """Read the leaderboard of the ensemble methods, and the record of the published forecast.

    Parameters
    ----------
    con : DuckDBPyConnection
        The published snapshot.
    horizons : sequence of str
        Codes of the horizons to read.

    Returns
    -------
    dict
        ensemble_leaderboard (rows), and verdicts (rows of the published forecast with its horizon_code and coverage_90).

    Raises
    ------
    ZlForecastError
        The snapshot has no such leaderboard, or no method competed.
    """
    try:
        board = read_rows(con, "from monitoring.ensemble_leaderboard order by horizon_days, rank")
    except duckdb.CatalogException as error:
        raise ZlForecastError(
            f"{snapshot_file()} is from an older version without an ensemble leaderboard. Run `make build` (or `dbt build`)."
        ) from error
    if not board:
        raise ZlForecastError(
            "monitoring.ensemble_leaderboard is empty: no ensemble method competed. Run `make build`."
        )
    # the published forecast's own record, out of sample
    records = read_rows(
        con,
        """
        with coverage as (
            select horizon_days, avg(is_inside_90::int) as coverage_90
            from forecasts.zl_backtest group by horizon_days
        ),

        horizons as (
            select distinct horizon_days, horizon_code from monitoring.ensemble_leaderboard
        )

        select horizons.horizon_code, verdicts.*, coverage.coverage_90
        from monitoring.verdicts
        inner join horizons using (horizon_days)
        left join coverage using (horizon_days)
        where verdicts.subject = 'published'
        order by horizon_days
        """,
    )
    return {
        name: [row for row in rows if row["horizon_code"] in horizons]
        for name, rows in (("ensemble_leaderboard", board), ("verdicts", records))
    }


def print_methods(tables: dict[str, Any], as_of: object, data_source: str) -> None:
    """Print the leaderboard of the ensemble methods by horizon.

    Parameters
    ----------
    tables : dict
        As from `read_methods`.
    as_of : date
        Session of the forecast.
    data_source : str
        Its market.
    """
    board = tables["ensemble_leaderboard"]
    say()
    say(f"Ensemble leaderboard as of {as_of}, {data_source} data", "bold")
    for code in dict.fromkeys(row["horizon_code"] for row in board):
        say()
        say(f"ensemble, {code}", "bold")
        print_table([row for row in board if row["horizon_code"] == code], METHOD_COLUMNS, note="reason")
        records = [row for row in tables["verdicts"] if row["horizon_code"] == code]
        say(f"Published forecast, out of sample: {_record(records)}")
    say()
    for line in (
        "Skills of methods are in-sample for the selection; only the published forecast's record is out of sample.",
        "p (bench.): Diebold-Mariano test against the average, or a method's base method, adjusted for all methods and horizons "
        "(Holm). p (ref.): against the reference, not adjusted for the number of methods. vs carry: skill against carry.",
        "weight: shrinkage weight of the combination in today's forecast; the average has the rest. 50%, 80%, 90%: coverage of "
        "the bands. width: of the 80 % band, relative to the reference's. Seconds are means per fold.",
    ):
        say(line, "dim")
    say(
        f"Read on: monitoring.ensemble_leaderboard, ensemble_weights, ensemble_results, verdicts in {short_path(snapshot_file())}.",
        may_wrap=False,
    )
    say(
        f"Next: open {short_path(serving_dir() / 'report.html')}, which shows them as a map with the weights.",
        "bold",
        False,
    )


def _record(records: Sequence[dict]) -> str:
    """Describe the published forecast's record at a horizon; without a row nothing has matured."""
    if not records:
        return "nothing has matured yet"
    own = records[0]
    return (
        f"{own['n_rows']} forecasts, pinball skill {format_or_dash(own['pinball_skill'], '+z.1%')}, coverage of the 80 % band "
        f"{format_or_dash(own['coverage_80'], '.0%')}, of the 90 % band {format_or_dash(own['coverage_90'], '.0%')}, p "
        f"{format_or_dash(own['p_value'], '.3f')}: {own['verdict']}"
    )

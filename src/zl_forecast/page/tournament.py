"""The tournament: heat maps of all families of all buckets, and each bucket's champions with reasons."""

from collections import defaultdict

import duckdb

from zl_forecast.queries import Row, read_rows

NAMED = 3  # features named per champion
MARKS = {"failed": "F", "timed_out": "T"}  # of families that failed in some folds only


def read_maps(con: duckdb.DuckDBPyConnection) -> Row | None:
    """Return one map per horizon: families in rows, buckets in columns.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.leaderboard.

    Returns
    -------
    dict or None
        buckets; families, in one order for all maps (mean skill, best first); maps, each with horizon_days and `cells`
        by (family, bucket). None if no bucket ran a tournament.
    """
    board = read_rows(
        con,
        """
        select *, avg(pinball_skill) over (partition by family) as mean_skill
        from monitoring.leaderboard
        order by mean_skill desc nulls last, family, bucket, horizon_days
        """,
    )
    if not board:
        return None
    maps: dict[int, dict] = defaultdict(dict)
    for row in board:
        maps[row["horizon_days"]][row["family"], row["bucket"]] = row | {"mark": MARKS.get(row["status"], "")}
    return {
        "buckets": sorted({row["bucket"] for row in board}),
        "families": list(dict.fromkeys(row["family"] for row in board)),
        "maps": [{"horizon_days": days, "cells": maps[days]} for days in sorted(maps)],
    }


def read_champions(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return each bucket's champions with record, reason and the features that move their newest forecasts.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.bucket_winners, leaderboard and forecast_explanations.

    Returns
    -------
    list of dict
        bucket and `rows`, one per horizon, each with its `effects`.
    """
    champions = read_rows(
        con,
        """
        select winners.bucket, winners.horizon_days, winners.winner, winners.verdict,
            winners.backtest_pinball_skill, winners.backtest_coverage_80, leaderboard.reason
        from monitoring.bucket_winners as winners
        left join monitoring.leaderboard as leaderboard
            on leaderboard.bucket = winners.bucket
            and leaderboard.horizon_days = winners.horizon_days
            and leaderboard.family = winners.winner
        order by winners.bucket, winners.horizon_days
        """,
    )
    effects = defaultdict(list)
    for row in read_rows(
        con, f"from monitoring.forecast_explanations where rank <= {NAMED} order by bucket, horizon_days, rank"
    ):
        effects[row["bucket"], row["horizon_days"]].append(row)
    buckets = defaultdict(list)
    for row in champions:
        buckets[row["bucket"]].append(row | {"effects": effects[row["bucket"], row["horizon_days"]]})
    return [{"bucket": name, "rows": rows} for name, rows in buckets.items()]

"""How the inputs are combined: the ensemble methods against the reference, and the weights of the published ones."""

import duckdb

from zl_forecast.page.drivers import DRIVERS
from zl_forecast.queries import Row, has_table, read_rows

MARKS = {"candidate": "on evidence", "no_forecast": "no forecast", "too_slow": "too slow"}


def read_ensemble(con: duckdb.DuckDBPyConnection) -> Row | None:
    """Return the ensemble leaderboard as a map, and today's weights.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads monitoring.ensemble_leaderboard and ensemble_weights.

    Returns
    -------
    dict or None
        horizons; methods in the order of their mean rank, each with `cells` by horizon_days; published, one row per
        horizon with `weights`. None if no method competed.
    """
    board = read_rows(
        con,
        """
        select *, avg(rank) over (partition by ensemble_method) as mean_rank
        from monitoring.ensemble_leaderboard
        order by mean_rank, ensemble_method, horizon_days
        """,
    )
    if not board:
        return None
    weights = _read_weights(con)
    methods: dict[str, Row] = {}
    for row in board:
        own = methods.setdefault(
            row["ensemble_method"], {"name": row["ensemble_method"], "label": row["label"], "cells": {}}
        )
        own["cells"][row["horizon_days"]] = row | {"mark": MARKS.get(row["selection_status"], "")}
    published = sorted((row for row in board if row["is_published"]), key=lambda row: row["horizon_days"])
    return {
        "horizons": sorted({row["horizon_days"] for row in board}),
        "methods": list(methods.values()),
        "largest_weight": max((abs(row["effective_weight"]) for row in weights), default=1.0) or 1.0,
        "published": [
            row | {"weights": [own for own in weights if own["horizon_days"] == row["horizon_days"]]}
            for row in published
        ],
    }


def _read_weights(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return horizon_days, input and effective_weight in today's published forecast, largest first.

    Some methods state their weights as rows of ensemble_weights; those of the others follow from their forecasts and are
    weights of the drivers.
    """
    stated = read_rows(
        con,
        """
        select weights.horizon_days, weights.input, weights.effective_weight
        from monitoring.ensemble_weights as weights
        inner join monitoring.ensemble_leaderboard as board
            on board.is_published
            and board.ensemble_method = weights.ensemble_method
            and board.horizon_days = weights.horizon_days
        where weights.fold_type = 'live'
        qualify weights.as_of_date = max(weights.as_of_date) over (partition by weights.horizon_days)
        order by weights.horizon_days, weights.effective_weight desc, weights.input
        """,
    )
    if not has_table(con, DRIVERS):
        return stated
    complete = {row["horizon_days"] for row in stated}
    derived = read_rows(
        con,
        f"""
        select horizon_days, driver as input, weight as effective_weight
        from {DRIVERS}
        where weight is not null
        order by horizon_days, weight desc, driver
        """,
    )
    return stated + [row for row in derived if row["horizon_days"] not in complete]

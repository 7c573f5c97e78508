"""Risk: expected range, and the ladder of price levels with their chances."""

import duckdb

from zl_forecast.page.position import read_levels, read_losses
from zl_forecast.queries import Row, read_rows


def read_risk(con: duckdb.DuckDBPyConnection) -> Row | None:
    """Return losses by horizon and side, and price levels from high to low.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_risk.

    Returns
    -------
    dict or None
        losses; expected_high and expected_low by horizon_days (cents/lb); ladder, one entry per level with `cells` by
        horizon_days; horizons. None if the table is empty.
    """
    losses = read_losses(con)
    if not losses:
        return None
    extremes = read_rows(
        con,
        "select horizon_days, measure, value from forecasts.zl_risk where measure in ('expected_high', 'expected_low')",
    )
    ladder: dict[tuple[float, str], dict[int, Row]] = {}
    for row in read_levels(con):
        ladder.setdefault((row["level_cents"], row["direction"]), {})[row["horizon_days"]] = row
    return {
        "horizons": sorted({row["horizon_days"] for row in losses}),
        "losses": losses,
        **{
            name: {row["horizon_days"]: row["value"] for row in extremes if row["measure"] == name}
            for name in ("expected_high", "expected_low")
        },
        "ladder": [
            {"level_cents": level, "direction": direction, "cells": cells}
            for (level, direction), cells in ladder.items()
        ],
    }

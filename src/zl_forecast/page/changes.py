"""What changed: the forecast against those of the previous session and of a week ago."""

from collections import defaultdict

import duckdb

from zl_forecast.page.drivers import SMALLEST_BAR
from zl_forecast.queries import Row, has_table, read_rows

CHANGES = "forecasts.zl_forecast_changes"
DRIVER_CHANGES = "forecasts.zl_forecast_driver_changes"
NAMED = 3  # drivers named per horizon
COMPARED = {"previous": "previous forecast", "week_ago": "a week ago"}


def read_changes(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the comparisons of the newest forecast.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_forecast_changes.

    Returns
    -------
    list of dict
        name, label, earlier_as_of_date and the rows per horizon, each with the drivers whose contribution changed most;
        previous first. Empty without an earlier forecast.
    """
    if not has_table(con, CHANGES):
        return []
    rows = read_rows(con, f"from {CHANGES} where earlier_as_of_date is not null order by horizon_days")
    drivers = defaultdict(list)
    if has_table(con, DRIVER_CHANGES):
        query = f"from {DRIVER_CHANGES} where abs(p50_cents_change) >= {SMALLEST_BAR} order by abs(p50_cents_change) desc, driver"
        for row in read_rows(con, query):
            drivers[row["horizon_days"], row["compared_with"]].append(row)
    rows = [row | {"drivers": drivers[row["horizon_days"], row["compared_with"]][:NAMED]} for row in rows]
    groups = []
    for name, label in COMPARED.items():
        own = [row for row in rows if row["compared_with"] == name]
        if own:
            groups.append(
                {"name": name, "label": label, "earlier_as_of_date": own[0]["earlier_as_of_date"], "rows": own}
            )
    return groups

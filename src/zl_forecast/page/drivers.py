"""Why: what each input contributes to today's forecast, and which features are behind it."""

import csv
from collections import defaultdict

import duckdb

from zl_forecast.paths import seed
from zl_forecast.queries import Row, has_table, read_rows

DRIVERS = "forecasts.zl_forecast_drivers"
FEATURES = "forecasts.zl_forecast_driver_features"
NAMED = 3  # drivers named in the sentence per horizon, and features per driver
SMALLEST_BAR = 0.005  # cents/lb: smaller contributions are shown as 0.00, so they share one bar


def read_drivers(con: duckdb.DuckDBPyConnection) -> dict[int, list[Row]]:
    """Return the drivers of the newest forecast, in the order of their size.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_forecast_drivers and zl_forecast_driver_features.

    Returns
    -------
    dict of int to list of dict
        Rows by horizon_days, each with its `features`, and is_shown if it moves some quantile; empty for a snapshot without drivers.
    """
    if not has_table(con, DRIVERS):
        return {}
    features = _read_features(con)
    drivers = defaultdict(list)
    query = f"""
        select *, greatest(abs(p10_cents), abs(p50_cents), abs(p90_cents)) >= {SMALLEST_BAR} as is_shown
        from {DRIVERS}
        order by horizon_days, abs(p50_cents) desc, driver
        """
    for row in read_rows(con, query):
        own = features.get((row["horizon_days"], row["driver"]), []) if abs(row["p50_cents"]) >= SMALLEST_BAR else []
        drivers[row["horizon_days"]].append(row | {"features": own})
    return dict(drivers)


def _read_features(con: duckdb.DuckDBPyConnection) -> dict[tuple[int, str], list[Row]]:
    """Return label, value, unit, level and contribution of features by horizon and bucket; small ones are one row."""
    if not has_table(con, FEATURES):
        return {}
    features: dict[tuple[int, str], list[Row]] = defaultdict(list)
    rows = read_rows(
        con,
        f"""
        with features as (
            select *,
                feature = 'rest' or rank > {NAMED} or abs(contribution_cents) < {SMALLEST_BAR} as is_rest
            from {FEATURES}
        ),

        with_rest as (
            select horizon_days, bucket, is_rest, contribution_cents,
                case when is_rest then 'Other features and the mean forecast' else label end as label,
                case when not is_rest then feature_value end as feature_value,
                case when not is_rest then unit end as unit,
                case when not is_rest then level end as level
            from features
        )

        select horizon_days, bucket, is_rest, label, feature_value, unit, level, sum(contribution_cents) as cents
        from with_rest
        group by all
        order by horizon_days, bucket, is_rest, abs(sum(contribution_cents)) desc
        """,
    )
    for row in rows:
        features[row["horizon_days"], row["bucket"]].append(row)
    return dict(features)


def largest(drivers: list[Row]) -> list[Row]:
    """Return the drivers that move the median most, without those that do not move it.

    Parameters
    ----------
    drivers : list of dict
        Of one horizon, in the order of their size.

    Returns
    -------
    list of dict
        At most `NAMED` rows.
    """
    return [row for row in drivers if abs(row["p50_cents"]) >= SMALLEST_BAR][:NAMED]


def read_meanings(drivers: dict[int, list[Row]]) -> list[Row]:
    """Return what the drivers are that are no buckets, from seeds/drivers.csv.

    Parameters
    ----------
    drivers : dict of int to list of dict
        From `read_drivers`.

    Returns
    -------
    list of dict
        label and meaning of each one that moves some quantile.
    """
    shown = {row["driver"] for rows in drivers.values() for row in rows if row["is_shown"]}
    with seed("drivers").open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["driver"] in shown]


def waterfall_steps(drivers: list[Row]) -> list[Row]:
    """Return the steps from the last price to the median of the forecast.

    Parameters
    ----------
    drivers : list of dict
        Of one horizon, in the order of their size.

    Returns
    -------
    list of dict
        label, start, end (cents/lb) and step: first the last price, then a step per driver, drivers too small to see
        together, and last the median of the forecast.
    """
    price = drivers[0]["last_price"]
    steps = [{"label": "Last price", "start": price, "end": price, "step": None}]
    small = sum(row["p50_cents"] for row in drivers if abs(row["p50_cents"]) < SMALLEST_BAR)
    others = [{"label": "All others", "p50_cents": small}] if abs(small) >= SMALLEST_BAR else []
    for row in [row for row in drivers if abs(row["p50_cents"]) >= SMALLEST_BAR] + others:
        start, price = price, price + row["p50_cents"]
        steps.append({"label": row["label"], "start": start, "end": price, "step": row["p50_cents"]})
    price = drivers[0]["last_price"] + sum(row["p50_cents"] for row in drivers)
    return [*steps, {"label": "Median (P50)", "start": price, "end": price, "step": None}]

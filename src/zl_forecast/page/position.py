"""My position: the numbers from which the page's script computes losses and chances in USD."""

import duckdb

from zl_forecast.queries import Row, has_table, read_rows

USD_PER_CENT_AND_CONTRACT = 600.0  # a contract is 60,000 lb
POUNDS_PER_CONTRACT = 60_000
LOSSES = ("var_95", "cvar_95", "var_99", "cvar_99")
LEVELS = [n / 100 for n in range(1, 100)]  # levels of the price's distribution that the page carries


def read_losses(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the losses per lb by horizon and side.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_risk.

    Returns
    -------
    list of dict
        horizon_days, side and a value in cents/lb per name of `LOSSES`; None where there is none.
    """
    return read_rows(
        con,
        f"""
        select horizon_days, side,
            {", ".join(f"any_value(value) filter (measure = '{name}') as {name}" for name in LOSSES)}
        from forecasts.zl_risk
        where level_cents is null
        group by horizon_days, side
        order by horizon_days, side
        """,
    )


def read_levels(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the chances of price levels, from high to low.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_risk.

    Returns
    -------
    list of dict
        level_cents, direction (`above` or `below`), horizon_days, ends and touches (probabilities).
    """
    return read_rows(
        con,
        """
        with crossings as (
            select level_cents, horizon_days, value, measure like 'prob_touch_%' as is_touch,
                replace(replace(measure, 'prob_touch_', ''), 'prob_', '') as direction
            from forecasts.zl_risk
            where level_cents is not null
        )

        select level_cents, direction, horizon_days,
            any_value(value) filter (not is_touch) as ends,
            any_value(value) filter (is_touch) as touches
        from crossings
        group by level_cents, direction, horizon_days
        order by level_cents desc, direction, horizon_days
        """,
    )


def read_distribution(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return quantiles of the simulated prices at each horizon, for chances of any level.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_paths.

    Returns
    -------
    list of dict
        horizon_days and prices (cents/lb, one per entry of `LEVELS`); empty for a snapshot without paths.
    """
    if not has_table(con, "forecasts.zl_paths"):
        return []
    return read_rows(
        con,
        f"""
        select horizon_days, list_transform(quantile_cont(price, {LEVELS}), price -> round(price, 3)) as prices
        from forecasts.zl_paths
        group by horizon_days
        order by horizon_days
        """,
    )


def read_positions(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the losses in USD of the positions in seeds/positions.csv.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_position_risk.

    Returns
    -------
    list of dict
        position, side, contracts, horizon_days and a value in USD per name of `LOSSES`; empty if there is no position.
    """
    if not has_table(con, "forecasts.zl_position_risk"):
        return []
    return read_rows(
        con,
        f"""
        select position, side, contracts, horizon_days,
            {", ".join(f"any_value(value) filter (measure = '{name}') as {name}" for name in LOSSES)}
        from forecasts.zl_position_risk
        where level_cents is null
        group by position, side, contracts, horizon_days
        order by position, side, horizon_days
        """,
    )

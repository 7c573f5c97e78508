"""The newest forecast, last year's closes, and the questions of a buyer that they answer."""

import duckdb

from zl_forecast.queries import Row, has_table, read_rows

QUANTILES = {f"p{quantile:02}": ("forecast", quantile) for quantile in (5, 10, 25, 50, 75, 90, 95)}
QUANTILES |= {f"reference_p{quantile}": ("reference", quantile) for quantile in (10, 90)}
DAILY_SESSIONS = 10  # the fan opens fast at first


def read_forecast(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the newest forecast, one row per horizon, with its record against the reference.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.zl_forecast and monitoring.verdicts.

    Returns
    -------
    list of dict
        All columns of forecasts.zl_forecast, and record_skill, record_coverage_80, record_p_value, record_n_rows and
        record_n_independent, which are None if nothing has matured.
    """
    return read_rows(
        con,
        """
        with records as (
            select * from monitoring.verdicts where subject = 'published'
        )

        select forecast.*,
            records.pinball_skill as record_skill,
            records.coverage_80 as record_coverage_80,
            records.p_value as record_p_value,
            records.n_rows as record_n_rows,
            records.n_rows / forecast.horizon_days as record_n_independent
        from forecasts.zl_forecast as forecast
        left join records using (horizon_days)
        order by forecast.horizon_days
        """,
    )


def read_closes(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the closes of the year up to the newest forecast.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.prices_daily.

    Returns
    -------
    list of dict
        as_of_date, close in cents/lb; oldest first.
    """
    return read_rows(
        con,
        """
        with newest as (
            select max(as_of_date) as as_of_date from forecasts.zl_forecast
        )

        select prices.as_of_date, prices.close
        from forecasts.prices_daily as prices
        inner join newest
            on prices.as_of_date between newest.as_of_date - interval 1 year and newest.as_of_date
        order by prices.as_of_date
        """,
    )


def read_fan(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the fan of the forecast and the range of the reference: two weeks by session, then every fifth session.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.fan_long.

    Returns
    -------
    list of dict
        date and the price of each of `QUANTILES`, in cents/lb. First the day of the forecast, where all are the last
        price; every target date; the last row is the last target date.
    """
    columns = ", ".join(
        f"any_value(price) filter (series = '{series}' and round(100 * quantile) = {quantile}) as {name}"
        for name, (series, quantile) in QUANTILES.items()
    )
    return read_rows(
        con,
        f"""
        with sessions as (
            select date, any_value(horizon_days) as horizon_days, {columns},
                row_number() over (order by date) - 1 as n_sessions
            from forecasts.fan_long
            where series != 'close'
            group by date
        )

        select * exclude (horizon_days, n_sessions)
        from sessions
        where horizon_days is not null or n_sessions <= {DAILY_SESSIONS} or n_sessions % 5 = 0
        order by date
        """,
    )


def read_closed_days(con: duckdb.DuckDBPyConnection) -> list[Row]:
    """Return the weekdays after the newest forecast on which the exchange is closed, as far as the calendar goes.

    Parameters
    ----------
    con : DuckDBPyConnection
        Open on serving.duckdb; reads forecasts.dim_date.

    Returns
    -------
    list of dict
        date; empty for a snapshot without calendar.
    """
    if not has_table(con, "forecasts.dim_date"):
        return []
    return read_rows(
        con,
        """
        select date::date as date
        from forecasts.dim_date
        where not is_session
            and isodow(date) <= 5
            and date > (select max(as_of_date) from forecasts.zl_forecast)
        order by date
        """,
    )


def summarise_price(closes: list[Row]) -> Row:
    """Summarise where the price is: against the previous session, a week ago, and the range of the year.

    Parameters
    ----------
    closes : list of dict
        From `read_closes`, at least one.

    Returns
    -------
    dict
        close, day_change and week_change (None with too few closes), low, high; cents/lb.
    """
    prices = [row["close"] for row in closes]
    return {
        "close": prices[-1],
        "day_change": prices[-1] - prices[-2] if len(prices) > 1 else None,
        "week_change": prices[-1] - prices[-6] if len(prices) > 5 else None,
        "low": min(prices),
        "high": max(prices),
    }

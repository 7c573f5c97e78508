-- A fan chart, ready to plot: closes, today's forecast and the reference, one line per quantile.
-- Between horizons log prices are linear in the root of the session number, as in zl_paths. One row
-- per line and date.
with
closes as (
    select as_of_date, close, data_source from {{ ref('prices_daily') }}
    order by as_of_date desc
    limit {{ threshold('fan_history_sessions') }}
),

forecasts as (
    select * from {{ ref('zl_forecast') }}
),

sessions as (
    select session_date, session_number from {{ ref('int_calendar__sessions') }}
),

quantiles as (
    select
        'forecast' as series, as_of_date, horizon_days, horizon_code, last_price, quantile, price,
        data_source
    from {{ ref('zl_forecast_long') }}
    union all
    select
        'reference' as series,
        as_of_date,
        horizon_days,
        horizon_code,
        last_price,
        (right(level, 2)::integer / 100)::double as quantile,
        price,
        data_source
    from forecasts
    unpivot (price for level in (reference_p10, reference_p50, reference_p90))
),

-- from the horizon before, or from the last price
segments as (
    select
        *,
        coalesce(lag(horizon_days) over by_horizon, 0) as start_days,
        coalesce(lag(price) over by_horizon, last_price) as start_price
    from quantiles
    window by_horizon as (partition by series, quantile order by horizon_days)
),

fans as (
    select
        sessions.session_date as date,
        segments.series,
        segments.quantile,
        case
            when sessions.session_number - origin.session_number = segments.horizon_days
                then segments.price
            else
                segments.start_price * pow(
                    segments.price / segments.start_price,
                    (sqrt(sessions.session_number - origin.session_number) - sqrt(start_days))
                    / (sqrt(segments.horizon_days) - sqrt(start_days))
                )
        end as price,
        case
            when sessions.session_number - origin.session_number = segments.horizon_days
                then segments.horizon_days
        end as horizon_days,
        segments.data_source
    from segments
    inner join sessions as origin
        on origin.session_date = segments.as_of_date
    inner join sessions
        on sessions.session_number > origin.session_number + segments.start_days
        and sessions.session_number <= origin.session_number + segments.horizon_days
),

origins as (
    select distinct
        as_of_date as date, series, quantile, last_price as price, 0 as horizon_days, data_source
    from quantiles
),

points as (
    select as_of_date as date, 'close' as series, close as price, data_source from closes
    union all by name
    select * from origins
    union all by name
    select * from fans
),

codes as (
    select horizon_days, horizon_code from {{ ref('dim_horizon') }}
),

final as (
    select
        points.date,
        concat(
            points.series,
            case when quantile is not null then format('_p{:02.0f}', 100 * quantile) end
        ) as line,
        points.series,
        points.quantile,
        points.price,
        points.horizon_days::integer as horizon_days,
        codes.horizon_code,
        points.data_source
    from points
    left join codes
        using (horizon_days)
)

select * from final
order by line, date

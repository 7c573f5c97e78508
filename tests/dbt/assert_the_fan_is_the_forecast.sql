-- The fan has the published quantiles on their target dates, starts at the last price, and its
-- quantiles ascend on every date. Fails with the rows.
with
fan as (
    select * from {{ ref('fan_long') }}
),

published_quantiles as (
    select 'forecast' as series, horizon_days, target_date as date, quantile, price
    from {{ ref('zl_forecast_long') }}
    union all
    select 'reference', horizon_days, target_date, 0.5, reference_p50
    from {{ ref('zl_forecast') }}
    union all
    select distinct 'close', null, as_of_date, null, last_price
    from {{ ref('zl_forecast') }}
)

select
    published_quantiles.date,
    published_quantiles.series,
    published_quantiles.quantile,
    published_quantiles.price,
    fan.price as fan_price
from published_quantiles
left join fan
    on fan.series = published_quantiles.series
    and fan.date = published_quantiles.date
    and fan.horizon_days is not distinct from published_quantiles.horizon_days
    and fan.quantile is not distinct from published_quantiles.quantile
where not coalesce(abs(fan.price - published_quantiles.price) < 1e-9, false)

union all

select date, series, quantile, price, lower_price
from (
    select
        date, series, quantile, price,
        lag(price) over (partition by date, series order by quantile) as lower_price
    from fan
    where series <> 'close'
) as neighbours
where price < lower_price - 1e-9

-- Today's quantiles, one per row. One row per horizon and quantile.
with
forecasts as (
    select * from {{ ref('zl_forecast') }}
),

final as (
    select
        as_of_date,
        horizon_days::integer as horizon_days,
        horizon_code,
        target_date,
        (substr(level, 2)::integer / 100)::double as quantile,
        price,
        last_price,
        data_source
    from forecasts
    unpivot (price for level in (p05, p10, p25, p50, p75, p90, p95))
)

select * from final
order by horizon_days, quantile

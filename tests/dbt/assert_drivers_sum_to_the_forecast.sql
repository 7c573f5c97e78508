-- Contributions of the drivers sum to the published quantile minus the last price, at every
-- horizon. Fails with the horizons.
with
sums as (
    select
        horizon_days,
        sum(p10_cents) as p10_cents,
        sum(p50_cents) as p50_cents,
        sum(p90_cents) as p90_cents
    from {{ ref('zl_forecast_drivers') }}
    group by horizon_days
)

select forecasts.horizon_days, sums.p10_cents, sums.p50_cents, sums.p90_cents
from {{ ref('zl_forecast') }} as forecasts
left join sums
    using (horizon_days)
where
    not coalesce(
        greatest(
            abs(forecasts.p10 - forecasts.last_price - sums.p10_cents),
            abs(forecasts.p50 - forecasts.last_price - sums.p50_cents),
            abs(forecasts.p90 - forecasts.last_price - sums.p90_cents)
        ) < 1e-9,
        false
    )

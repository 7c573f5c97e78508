-- Contributions of features sum to those of their bucket to the median. Fails with the buckets.
with
sums as (
    select horizon_days, bucket as driver, sum(contribution_cents) as contribution_cents
    from {{ ref('zl_forecast_driver_features') }}
    group by horizon_days, bucket
)

select drivers.horizon_days, drivers.driver, drivers.p50_cents, sums.contribution_cents
from {{ ref('zl_forecast_drivers') }} as drivers
left join sums
    using (horizon_days, driver)
where
    drivers.driver_type in ('bucket', 'linear')
    and not coalesce(abs(drivers.p50_cents - sums.contribution_cents) < 1e-9, false)

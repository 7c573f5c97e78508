-- The change of P50 is that of the last price plus those of all drivers, where these are known.
-- Fails with the comparisons.
with
sums as (
    select horizon_days, compared_with, sum(p50_cents_change) as p50_cents_change
    from {{ ref('zl_forecast_driver_changes') }}
    group by horizon_days, compared_with
)

select
    changes.horizon_days, changes.compared_with, changes.p50_change, changes.last_price_change,
    sums.p50_cents_change
from {{ ref('zl_forecast_changes') }} as changes
inner join sums
    using (horizon_days, compared_with)
where abs(changes.p50_change - changes.last_price_change - sums.p50_cents_change) > 1e-9

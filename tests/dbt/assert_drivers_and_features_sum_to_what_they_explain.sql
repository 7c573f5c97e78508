-- Contributions add up at every horizon: those of drivers to each published quantile minus the last
-- price, those of features to their bucket's contribution to the median, and changes of drivers,
-- where these are known, with that of the last price to the change of P50. Fails with the sums that
-- do not.
with
drivers as (
    select * from {{ ref('zl_forecast_drivers') }}
),

quantiles as (
    {% for level in ['10', '50', '90'] -%}
    select
        'p{{ level }}' as whole,
        horizon_days,
        forecasts.p{{ level }} - forecasts.last_price as value,
        sum(drivers.p{{ level }}_cents) as sum_of_parts
    from {{ ref('zl_forecast') }} as forecasts
    left join drivers
        using (horizon_days)
    group by all
    {{ "union all" if not loop.last }}
    {% endfor %}
),

buckets as (
    select
        'p50 of ' || drivers.driver as whole,
        drivers.horizon_days,
        drivers.p50_cents as value,
        sum(features.contribution_cents) as sum_of_parts
    from drivers
    left join {{ ref('zl_forecast_driver_features') }} as features
        on features.horizon_days = drivers.horizon_days
        and features.bucket = drivers.driver
    where drivers.driver_type in ('bucket', 'linear')
    group by all
),

changes as (
    select
        'p50 since ' || compared_with as whole,
        horizon_days,
        changes.p50_change - changes.last_price_change as value,
        sum(parts.p50_cents_change) as sum_of_parts
    from {{ ref('zl_forecast_changes') }} as changes
    inner join {{ ref('zl_forecast_driver_changes') }} as parts
        using (horizon_days, compared_with)
    group by all
),

sums as (
    select * from quantiles
    union all
    select * from buckets
    union all
    select * from changes
)

select * from sums
where not coalesce(abs(value - sum_of_parts) < 1e-9, false)

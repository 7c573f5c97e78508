-- A price that ends beyond a level has touched it, and the expected range contains the last price.
-- Fails with rows that contradict.
with
probabilities as (
    select
        horizon_days,
        level_cents,
        max(value) filter (where measure in ('prob_above', 'prob_below')) as ending,
        max(value) filter (where measure in ('prob_touch_above', 'prob_touch_below')) as touching
    from {{ ref('zl_risk') }}
    where level_cents is not null
    group by all
),

ranges as (
    select
        risk.horizon_days,
        any_value(forecast.last_price) as last_price,
        max(risk.value) filter (where risk.measure = 'expected_high') as high,
        max(risk.value) filter (where risk.measure = 'expected_low') as low
    from {{ ref('zl_risk') }} as risk
    inner join {{ ref('zl_forecast') }} as forecast
        using (horizon_days)
    group by all
)

select horizon_days, level_cents, ending, touching, 'touch below end' as fault
from probabilities
where coalesce(touching < ending, true)
union all
select horizon_days, last_price, low, high, 'range without the last price'
from ranges
where coalesce(last_price not between low and high, true)

-- Every session with a scaling volatility has all horizons, including the newest, which live
-- forecasts need.
select
    volatility.as_of_date,
    horizons.horizon_code
from {{ ref('int_volatility__zl') }} as volatility
cross join {{ ref('horizons') }} as horizons
left join {{ ref('int_targets__daily') }} as targets
    on targets.as_of_date = volatility.as_of_date and targets.horizon_days = horizons.horizon_days
where volatility.ewma_volatility > 0 and targets.as_of_date is null

-- Targets: per session and horizon, the log return of the ZL front price to target_date, also in
-- units of the volatility known at the session (z_return). Unmatured rows are kept for the live
-- forecasts.
with
sessions as (
    select * from {{ ref('int_calendar__sessions') }}
),

horizons as (
    select * from {{ ref('horizons') }}
),

prices as (
    select as_of_date, close, data_source from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

volatility as (
    select as_of_date, ewma_volatility from {{ ref('int_volatility__zl') }}
    where ewma_volatility > 0
),

final as (
    select
        ---------- key
        origin.session_date as as_of_date,
        horizons.horizon_days,

        ---------- known at as_of_date
        horizons.horizon_code,
        target.session_date as target_date,
        known.close as last_price,
        volatility.ewma_volatility,
        volatility.ewma_volatility * sqrt(horizons.horizon_days) as horizon_volatility,

        ---------- known at target_date
        not target.is_future as is_matured,
        realised.close as realised_price,
        {{ safe_ln('realised.close / known.close') }} as realised_log_return,
        {{ safe_ln('realised.close / known.close') }}
        / (volatility.ewma_volatility * sqrt(horizons.horizon_days)) as z_return,
        known.data_source
    from sessions as origin
    cross join horizons
    inner join sessions as target
        on target.session_number = origin.session_number + horizons.horizon_days
    inner join prices as known
        on known.as_of_date = origin.session_date
    inner join volatility
        on volatility.as_of_date = origin.session_date
    left join prices as realised
        on realised.as_of_date = target.session_date
)

select * from final

-- Horizons of the forecast. One row per horizon.
with
horizons as (
    select * from {{ ref('horizons') }}
),

final as (
    select
        horizon_days::integer as horizon_days,
        horizon_code,
        label,
        horizon_days / 5 as n_weeks,
        row_number() over (order by horizon_days)::integer as position
    from horizons
)

select * from final
order by horizon_days

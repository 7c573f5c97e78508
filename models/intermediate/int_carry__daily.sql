-- Carry of ZL: by how much the quoted price stepped at rolls over the last 252 sessions. The price
-- moves by the returns that a holder earned and by these steps, so their sum is the difference
-- between the two moves. One row per session of ZL.
with
prices as (
    select as_of_date, {{ safe_ln('close') }} - log_index as log_steps
    from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

final as (
    select
        as_of_date,
        -- rounded: the exact sum of the steps is zero without a roll
        round((log_steps - lag(log_steps, 252) over (order by as_of_date)) / 252, 12) as roll_yield
    from prices
)

select * from final

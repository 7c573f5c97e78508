-- Carry of ZL: by how much the quoted price would step at rolls until target_date. From the curve:
-- the contract that will be in front trades today. Without it: the steps of the last 252 sessions.
-- One row per session and horizon.
with
targets as (
    select as_of_date, horizon_days, target_date from {{ ref('int_targets__daily') }}
),

-- the price moves by the returns that a holder earned and by these steps
prices as (
    select as_of_date, contract_id, close, {{ safe_ln('close') }} - log_index as log_steps
    from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

roll_yields as (
    select
        as_of_date,
        -- unknown, not zero, where most sessions have no contract: their rolls cannot be seen
        case
            when count(contract_id) over last_year > 126 then
                -- rounded: the exact sum of the steps is zero without a roll
                round((log_steps - lag(log_steps, 252) over (order by as_of_date)) / 252, 12)
        end as roll_yield
    from prices
    window last_year as (order by as_of_date rows between 252 preceding and current row)
),

curve as (
    select * from {{ ref('stg_landing__curve') }}
    where symbol = 'zl'
),

-- how far the settlements of each delivery month are from the closes of each contract_id so far
candidates as (
    select
        prices.as_of_date,
        curve.contract_month,
        curve.settle,
        -- rounded: the last digits of a mean depend on the order in which the engine adds
        round(avg(abs({{ safe_ln('curve.settle / prices.close') }})) over (
            partition by prices.contract_id, curve.contract_month
            order by prices.as_of_date
        ), 12) as distance
    from prices
    inner join curve
        using (as_of_date)
    where prices.contract_id is not null
),

-- the delivery month that the bars follow
fronts as (
    select as_of_date, contract_month, settle from candidates
    where distance <= {{ threshold('max_front_distance') }}
    qualify row_number() over (partition by as_of_date order by distance, contract_month) = 1
),

-- In front on target_date will be the contract that was in front a year before, one year later. So
-- delivery months that the bars skip every year are skipped.
expected_fronts as (
    select
        targets.as_of_date,
        targets.horizon_days,
        fronts.contract_month as front_month,
        fronts.settle as front_settle,
        greatest(fronts.contract_month, (past.contract_month + interval 1 year)::date)
            as target_month
    from targets
    inner join fronts
        using (as_of_date)
    asof join fronts as past
        on targets.target_date - interval 1 year >= past.as_of_date
    -- none if the curve of that time is missing
    where past.as_of_date >= targets.target_date - interval '1 year 7 days'
),

curve_carries as (
    select
        expected_fronts.*,
        curve.settle as target_settle,
        {{ safe_ln('curve.settle / expected_fronts.front_settle') }} as carry
    from expected_fronts
    inner join curve
        on curve.as_of_date = expected_fronts.as_of_date
        and curve.contract_month = expected_fronts.target_month
),

final as (
    select
        ---------- key
        targets.as_of_date,
        targets.horizon_days,
        targets.target_date,

        ---------- carry
        coalesce(curve_carries.carry, roll_yields.roll_yield * targets.horizon_days) as carry,
        case
            when curve_carries.carry is not null then 'curve'
            when roll_yields.roll_yield is not null then 'roll_yield'
        end as source,

        ---------- what it is made of
        roll_yields.roll_yield,
        curve_carries.front_month,
        curve_carries.front_settle,
        curve_carries.target_month,
        curve_carries.target_settle
    from targets
    left join roll_yields
        using (as_of_date)
    left join curve_carries
        using (as_of_date, horizon_days)
)

select * from final

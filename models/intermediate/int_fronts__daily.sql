-- The delivery month that the bars of ZL follow: over the sessions so far with this contract_id,
-- its settlements on the curve are nearest to the closes. One row per session with a curve.
with
prices as (
    select as_of_date, contract_id, close from {{ ref('int_prices__daily') }}
    where symbol = 'zl' and contract_id is not null
),

curve as (
    select * from {{ ref('stg_landing__curve') }}
    where symbol = 'zl'
),

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
),

final as (
    select as_of_date, contract_month, settle from candidates
    where distance <= {{ threshold('max_front_distance') }}
    qualify row_number() over (partition by as_of_date order by distance, contract_month) = 1
)

select * from final

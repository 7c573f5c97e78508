-- Bars with the returns that a holder earned: nobody earns the step between two contracts, so on a
-- roll the return starts at the session's open. A price at or below zero (WTI, 2020-04-20) has no
-- log return.
with
bars as (
    select * from {{ ref('stg_landing__bars') }}
),

previous as (
    select
        *,
        lag(close) over by_symbol as previous_close,
        -- a roll is a known contract that differs from the last known one; an unknown contract is
        -- not a roll
        coalesce(contract_id <> last_value(contract_id ignore nulls) over before, false) as is_roll
    from bars
    window
        by_symbol as (partition by symbol order by as_of_date),
        before as (by_symbol rows between unbounded preceding and 1 preceding)
),

returns as (
    select
        *,
        case
            when is_roll and open > 0 and close > 0 then {{ safe_ln('close / open') }}
            when not is_roll and previous_close > 0 and close > 0 then
                {{ safe_ln('close / previous_close') }}
        end as log_return
    from previous
),

final as (
    select
        symbol,
        as_of_date,
        open,
        high,
        low,
        close,
        volume,
        contract_id,
        is_roll,
        log_return,
        -- Sum in whole units of 2^-60, which is exact in any order. The last digits of a sum of
        -- doubles depend on the order in which the engine adds rows, and so on the rows of other
        -- symbols.
        sum((coalesce(log_return, 0) * pow(2, 60))::hugeint) over (
            partition by symbol order by as_of_date rows unbounded preceding
        ) / pow(2, 60) as log_index,
        data_source
    from returns
)

select * from final

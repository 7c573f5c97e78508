-- Front price of soybean oil that the forecasts use, for charts. One row per session.
with
prices as (
    select * from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

final as (
    select
        as_of_date::date as as_of_date,
        open::double as open,
        high::double as high,
        low::double as low,
        close::double as close,
        contract_id::varchar as contract_id,
        is_roll,
        data_source
    from prices
)

select * from final
order by as_of_date

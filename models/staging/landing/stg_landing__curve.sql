-- Futures curve, typed. Exact repeats are dropped.
with
source as (
    select * from {{ source('landing', 'curve_daily') }}
),

renamed as (
    select distinct
        ---------- keys
        lower(symbol) as symbol,
        as_of_date::date as as_of_date,
        contract_month::date as contract_month,

        ---------- price, exchange units
        settle::double as settle,

        ---------- contracts
        open_interest::bigint as open_interest,
        data_source
    from source
)

select * from renamed

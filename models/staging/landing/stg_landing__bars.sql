-- Daily bars, typed, one row per symbol and trade date. Exact repeats are dropped; the landing
-- check refuses contradicting ones.
with
source as (
    select * from {{ source('landing', 'bars_daily') }}
),

renamed as (
    select distinct
        ---------- keys
        lower(symbol) as symbol,
        as_of_date::date as as_of_date,

        ---------- prices, exchange units
        open::double as open,
        high::double as high,
        low::double as low,
        close::double as close,

        ---------- contracts
        volume::bigint as volume,
        contract_id::varchar as contract_id,
        data_source
    from source
)

select * from renamed

-- Macro series, typed, one row per series, observation and vintage.
with
source as (
    select * from {{ source('landing', 'series') }}
),

renamed as (
    select distinct
        ---------- keys
        series_id,
        obs_date::date as obs_date,

        ---------- availability
        available_on::date as available_on,

        ---------- value, in the publisher's unit
        value::double as value,
        data_source
    from source
    where value is not null
)

select * from renamed

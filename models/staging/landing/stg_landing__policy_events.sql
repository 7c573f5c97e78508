-- Policy events, typed.
with
source as (
    select * from {{ source('landing', 'policy_events') }}
),

renamed as (
    select distinct
        event_date::date as event_date,
        available_on::date as available_on,
        lower(bucket) as bucket,
        kind,
        title,
        severity::double as severity,
        data_source
    from source
)

select * from renamed

-- Buckets and horizons that the last build left degraded, not yet acted on, and since when their losses have piled up.
-- {{ ref('int_targets__daily') }} says which market this is and how far it reaches.
{% set health = last_build('monitoring', 'model_health', ['subject', 'evidence_from', 'state_since']) %}
{% set acted = last_build('monitoring', 'degradations', ['bucket', 'state_since']) %}
with
newest as (
    select max(as_of_date) as newest_session, any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
),

health as (
    {% if health and var('tournament') != 'never' -%}
    select * from {{ health }}
    {%- else -%}
    select
        ''::varchar as subject, 0 as horizon_days, '' as horizon_code, '' as state, null::date as state_since, null::date as evidence_from,
        null::date as week_ending, false as is_newest, 0.0::double as statistic, '' as reason, '' as data_source
    where false
    {%- endif %}
),

acted as (
    {% if acted -%}
    select bucket, horizon_days, state_since, data_source from {{ acted }}
    {%- else -%}
    select ''::varchar as bucket, 0 as horizon_days, null::date as state_since, '' as data_source
    where false
    {%- endif %}
),

final as (
    select
        health.subject as bucket,
        health.horizon_days::integer as horizon_days,
        health.horizon_code,
        newest.newest_session as acted_on,
        health.state_since,
        health.evidence_from,
        health.statistic,
        health.reason,
        health.data_source
    from health
    inner join newest
        on newest.data_source = health.data_source
        and newest.newest_session > health.week_ending  -- the same build on the same data does the same
    anti join acted
        on acted.bucket = health.subject
        and acted.horizon_days = health.horizon_days
        and acted.state_since = health.state_since
        and acted.data_source = health.data_source
    where health.is_newest
        and health.state = 'degraded'
        and health.subject in ({{ "'" ~ var('buckets') | join("', '") ~ "'" }})
)

select * from final

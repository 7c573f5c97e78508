-- Buckets and horizons that were degraded before the newest session and not yet acted on.
with
newest as (
    select max(as_of_date) as newest_session, any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
),

health_history as (
    select * from {{ source('state_monitoring', 'health_history') }}
),

degradations as (
    select * from {{ source('state_monitoring', 'degradations') }}
),

-- last recorded state before the newest session, so that a repeated build on the same data decides
-- the same
health as (
    select
        health_history.*,
        newest.newest_session
    from health_history
    inner join newest
        on newest.data_source = health_history.data_source
        and newest.newest_session > health_history.week_ending
    qualify row_number() over (
        partition by subject, horizon_days order by week_ending desc, recorded_at desc
    ) = 1
),

final as (
    select
        health.subject as bucket,
        health.horizon_days,
        health.horizon_code,
        health.newest_session as acted_on,
        health.state_since,
        health.evidence_from,
        health.statistic,
        health.reason,
        health.data_source
    from health
    anti join degradations
        on degradations.bucket = health.subject
        and degradations.horizon_days = health.horizon_days
        and degradations.state_since = health.state_since
        and degradations.data_source = health.data_source
    where health.state = 'degraded'
        and health.subject in ({{ "'" ~ var('buckets') | join("', '") ~ "'" }})
        and {{ 'false' if var('tournament') == 'never' else 'true' }}
)

select * from final

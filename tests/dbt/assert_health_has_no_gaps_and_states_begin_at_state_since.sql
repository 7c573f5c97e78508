-- Every week from a subject's first to the newest is present, the newest is flagged, and
-- state_since is the first week of the state.
with
health as (
    select
        *,
        lag(week_ending) over own as week_before,
        lag(state) over own as state_before,
        lag(state_since) over own as since_before,
        max(week_ending) over () as newest_week
    from {{ ref('model_health') }}
    window own as (partition by subject, horizon_days order by week_ending)
)

select *
from health
where is_newest <> (week_ending = newest_week)
    -- a subject without matured rows has only the newest week; a week without sessions leaves a gap
    -- of at most 14 days
    or week_ending - week_before > 14
    or (state = state_before and state_since <> since_before)
    or (state is distinct from state_before and state_since <> week_ending)
    or (state = 'degraded' and statistic < degraded_at)

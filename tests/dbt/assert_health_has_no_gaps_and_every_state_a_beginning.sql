-- Every week from a subject's first to the newest is there, the newest of each is flagged, and a state begins where it says it does.
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
    -- a subject of which nothing matured has the newest week alone; a week without any session leaves 14 days at most
    or week_ending - week_before > 14
    or (state = state_before and state_since <> since_before)
    or (state is distinct from state_before and state_since <> week_ending)
    or (state = 'degraded' and statistic < degraded_at)

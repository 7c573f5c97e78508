-- Counted, not looked up by number: between as_of_date (left out) and target_date (counted) lie horizon_days sessions.
select
    targets.as_of_date,
    targets.horizon_days,
    targets.target_date,
    count(sessions.session_date) as n_sessions
from {{ ref('int_targets__daily') }} as targets
left join {{ ref('int_calendar__sessions') }} as sessions
    on sessions.session_date > targets.as_of_date and sessions.session_date <= targets.target_date
group by all
having count(sessions.session_date) <> targets.horizon_days

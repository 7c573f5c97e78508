-- Counts sessions instead of using session_number: horizon_days sessions lie after as_of_date up to
-- and including target_date.
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

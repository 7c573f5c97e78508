-- Without a future meeting fomc_days_to would stay at its cap of 90. Fix: add the year's meetings
-- to seeds/fomc_meetings.csv.
{{ config(severity='warn') }}
select max(session_date) as newest_session, max(meeting_date) as last_meeting
from {{ ref('int_calendar__sessions') }} cross join {{ ref('fomc_meetings') }}
where not is_future
having max(meeting_date) <= max(session_date)

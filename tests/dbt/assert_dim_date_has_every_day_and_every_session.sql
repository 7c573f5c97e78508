-- dim_date has every calendar day once, every session as a session, and one newest session, which
-- is the forecast's. Fails with the days.
with
days as (
    select date, is_session, is_future, is_newest_session, lag(date) over (order by date) as before
    from {{ ref('dim_date') }}
),

sessions as (
    select session_date as date, is_future from {{ ref('int_calendar__sessions') }}
),

used_dates as (
    select as_of_date as date, true as is_newest_session from {{ ref('zl_forecast') }}
    union
    select target_date as date, false as is_newest_session from {{ ref('zl_forecast') }}
)

select date, 'a day is missing before it' as problem from days
where date - before <> 1

union all

select date, 'not a session, or not in the future alike' as problem
from sessions
left join days
    using (date)
where not coalesce(days.is_session and days.is_future = sessions.is_future, false)

union all

select days.date, 'a session without a bar' as problem
from days
anti join sessions
    using (date)
where days.is_session and not days.is_future

union all

select date, 'not the newest session as the forecast has it' as problem
from used_dates
left join days
    using (date)
where not coalesce(days.is_session and days.is_newest_session = used_dates.is_newest_session, false)

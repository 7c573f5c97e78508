-- Calendar: every day from the first year with a session to the last one with a target date. One
-- row per day.
with
sessions as (
    select session_date, is_future from {{ ref('int_calendar__sessions') }}
),

exchange_sessions as (
    select session_date::date as session_date from {{ ref('int_calendar__exchange') }}
),

bounds as (
    select
        date_trunc('year', min(session_date))::date as first_day,
        (date_trunc('year', max(session_date)) + interval '1 year' - interval '1 day')::date
            as last_day,
        max(session_date) filter (where not is_future) as newest_session,
        max(session_date) as last_session
    from sessions
),

days as (
    select unnest(generate_series(first_day, last_day, interval '1 day'))::date as date
    from bounds
),

-- sessions of the past are those with a bar
all_sessions as (
    select session_date from sessions
    union
    select exchange_sessions.session_date
    from exchange_sessions
    cross join bounds
    where exchange_sessions.session_date > bounds.last_session
),

final as (
    select
        ---------- key
        days.date,

        ---------- calendar
        year(days.date)::integer as year,
        quarter(days.date)::integer as quarter,
        month(days.date)::integer as month,
        monthname(days.date) as month_name,
        strftime(days.date, '%Y-%m') as year_month,
        isoyear(days.date)::integer as iso_year,
        week(days.date)::integer as iso_week,
        day(days.date)::integer as day_of_month,
        isodow(days.date)::integer as day_of_week,
        dayname(days.date) as day_name,

        ---------- trading
        all_sessions.session_date is not null as is_session,
        days.date > bounds.newest_session as is_future,
        days.date = bounds.newest_session as is_newest_session
    from days
    cross join bounds
    left join all_sessions
        on all_sessions.session_date = days.date
)

select * from final
order by date

-- ZL sessions (dates with a ZL bar), then the next sessions of the exchange calendar, numbered
-- consecutively.
with
bars as (
    select as_of_date from {{ ref('stg_landing__bars') }}
    where symbol = 'zl'
),

future as (
    select session_date::date as session_date
    from {{ ref('int_calendar__exchange') }}
    where session_date::date > (select max(as_of_date) from bars)
    order by session_date
    limit 130  -- beyond the longest horizon, 120
),

past_and_future as (
    select as_of_date as session_date, false as is_future from bars
    union all
    select session_date, true as is_future from future
),

final as (
    select
        session_date,
        row_number() over (order by session_date) as session_number,
        is_future
    from past_and_future
)

select * from final

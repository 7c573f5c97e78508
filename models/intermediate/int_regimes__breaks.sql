-- Breaks of the regime, and how long ago the last one was: the regime leaves CALM after a long calm, or reaches CRISIS after a long
-- time without one. The second, since unrest may come before the storm: March 2020 was STRESSED now and then from December on.
-- What a break is stands in these two numbers alone. Trailing data only: at the session's close it is known.
{% set quiet_sessions = 20 %}  -- all of as many sessions before it were CALM, or without CRISIS
{% set after_sessions = 60 %}  -- as many sessions are `after the break`, its own the first
with
regimes as (
    select * from {{ ref('int_regimes__daily') }}
),

marked as (
    select
        as_of_date,
        regime,
        row_number() over (order by as_of_date) as session_number,
        (regime <> 'CALM' and count(*) filter (where regime = 'CALM') over quiet = {{ quiet_sessions }})
        or (regime = 'CRISIS' and count(*) filter (where regime <> 'CRISIS') over quiet = {{ quiet_sessions }}) as is_break
    from regimes
    window quiet as (order by as_of_date rows between {{ quiet_sessions }} preceding and 1 preceding)
),

counted as (
    select
        *,
        session_number - max(session_number) filter (where is_break) over (
            order by as_of_date rows between unbounded preceding and current row
        ) as sessions_since_break
    from marked
),

final as (
    select
        as_of_date,
        regime,
        is_break,
        sessions_since_break,
        coalesce(sessions_since_break < {{ after_sessions }}, false) as is_after_break
    from counted
)

select * from final

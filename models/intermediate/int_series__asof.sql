-- One row per session and macro series: the newest observation that was public at the cut-off.
-- Features read the newest observation, as revised by the cut-off; a late revision of an older one
-- changes nothing.
{%- set lag_sessions = var('non_cbot_lag_sessions') %}
with
series as (
    select * from {{ ref('stg_landing__series') }}
),

registry as (
    select * from {{ ref('series') }}
),

sessions as (
    select
        session_date as as_of_date,
        lag(session_date, {{ lag_sessions }}) over (order by session_date) as known_on
    from {{ ref('int_calendar__sessions') }}
    where not is_future
),

newest as (
    select *
    from series
    qualify
        obs_date >= max(obs_date) over (
            partition by series_id order by available_on, obs_date rows unbounded preceding
        )
        and row_number() over (partition by series_id, available_on order by obs_date desc) = 1
),

wanted_values as (
    select sessions.as_of_date, sessions.known_on, registry.series_id, registry.max_age_days
    from sessions cross join registry
    where sessions.known_on is not null  -- DuckDB's asof join may match null with the newest row
),

known_values as (
    select
        wanted_values.as_of_date,
        wanted_values.series_id,
        wanted_values.max_age_days,
        newest.obs_date,
        newest.available_on,
        newest.value
    from wanted_values
    asof join newest
        on wanted_values.series_id = newest.series_id
        and wanted_values.known_on >= newest.available_on
),

final as (
    select as_of_date, series_id, obs_date, available_on, value
    from known_values
    where as_of_date - available_on <= max_age_days
)

select * from final

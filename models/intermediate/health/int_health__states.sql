-- Weekly state of every bucket and of the published forecast: realised loss of matured
-- out-of-sample forecasts versus the loss that the tournament expected. Point in time. One row per
-- subject, horizon and week since the first forecast matured.
with
tests as (
    select * from {{ ref('int_health__weeks') }}
),

reselections as (
    select bucket as subject, horizon_days, acted_on, data_source from {{ ref('degradations') }}
),

weeks as (
    select
        date_trunc('week', as_of_date)::date as week_start,
        max(as_of_date) as week_ending,
        max(as_of_date) = max(max(as_of_date)) over () as is_newest,
        any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
    group by date_trunc('week', as_of_date)
),

-- a bucket without a forecast for the newest session has no active model
live as (
    select
        bucket as subject,
        horizon_days,
        max(trained_until) as live_trained_until,
        max(as_of_date) as live_as_of_date
    from {{ ref('int_tournament__forecasts') }}
    semi join {{ ref('int_tournament__choices') }}
        using (bucket, fold_id, horizon_days, family)
    where fold_type = 'live' and status = 'ok'
    group by bucket, horizon_days
    union all
    select 'published' as subject, horizon_days, max(trained_until), max(as_of_date)
    from {{ ref('int_ensemble__published') }}
    where fold_type = 'live' and p50 is not null
    group by horizon_days
),

weeks_of_subjects as (
    select
        subjects.subject,
        horizons.horizon_days,
        horizons.horizon_code,
        weeks.*,
        live.live_trained_until,
        is_newest
        and (live.live_as_of_date is distinct from weeks.week_ending) as is_without_forecast
    from (select unnest({{ var('buckets') + ['published'] }}) as subject) as subjects
    cross join {{ ref('horizons') }} as horizons
    cross join weeks
    left join live
        using (subject, horizon_days)
),

with_windows as (
    select
        weeks_of_subjects.*,
        coalesce(matured.n_matured, 0)::bigint as n_matured_in_week,
        coalesce(sum(matured.n_matured) over trailing_weeks, 0)::bigint as n_matured,
        coalesce(sum(matured.n_ledger) over trailing_weeks, 0)::bigint as n_ledger,
        sum(matured.pinball) over trailing_weeks as pinball,
        sum(matured.reference_pinball) over trailing_weeks as reference_pinball,
        sum(matured.n_inside_80) over trailing_weeks as n_inside_80
    from weeks_of_subjects
    left join tests as matured
        using (subject, horizon_days, week_start)
    window
        weeks_so_far as (partition by subject, horizon_days order by week_start),
        trailing_weeks as (
            weeks_so_far
            -- noqa: disable=PRS
            range between to_days(7 * ({{ threshold('health_window_weeks') }}::integer - 1))
                preceding and current row
            -- noqa: enable=PRS
        )
    -- every week from the first on; the newest week also for a subject without matured forecasts
    qualify is_newest or count(matured.n_matured) over weeks_so_far > 0
),

-- asof join: a week without matured forecasts keeps the last statistic
with_statistics as (
    select
        with_windows.* exclude (pinball, reference_pinball, n_inside_80),
        with_windows.pinball / with_windows.n_matured as pinball_pct,
        with_windows.reference_pinball / with_windows.n_matured as reference_pinball_pct,
        1 - with_windows.pinball / with_windows.reference_pinball as pinball_skill,
        with_windows.n_inside_80 / with_windows.n_matured as coverage_80,
        tests.fold_start, tests.champion, tests.expected_skill, tests.n_expected_skill_weeks,
        tests.is_evaluated, tests.statistic, tests.evidence_from, tests.watch_at, tests.degraded_at,
        -- reselected; all outcomes since then belong to the previous models
        case when reselections.acted_on > tests.run_start then reselections.acted_on end
            as reselected_on,
        with_windows.week_ending - with_windows.live_trained_until as age_days,
        age_days > {{ threshold('model_expiry_days') }} as is_too_old
    from with_windows
    asof left join tests
        using (subject, horizon_days, week_start)
    asof left join reselections
        on reselections.subject = with_windows.subject
        and reselections.horizon_days = with_windows.horizon_days
        and reselections.data_source = with_windows.data_source
        and with_windows.week_ending >= reselections.acted_on
),

-- Expiry concerns the active model, so it only applies to weeks after its training; folds of the
-- history last a year by design.
with_reasons as (
    select
        *,
        case
            when is_without_forecast then 'health_no_forecast'
            when is_too_old then 'health_expired'
            when reselected_on is not null then 'health_reselected'
            when statistic >= degraded_at then 'health_degraded'
            when statistic >= watch_at then 'health_watch'
            when champion is null then 'health_nothing_matured'
            when not is_evaluated then 'health_not_evaluated'
            when expected_skill is null or pinball_skill is null then 'health_no_recent_outcome'
            else 'health_as_expected'
        end as reason_code,
        case
            when reason_code in ('health_no_forecast', 'health_expired') then 'expired'
            when reason_code = 'health_degraded' then 'degraded'
            when reason_code in ('health_reselected', 'health_watch') then 'watch'
            else 'healthy'
        end as state
    from with_statistics
),

state_changes as (
    select
        *,
        (state is distinct from lag(state) over by_week) as is_turn
    from with_reasons
    window by_week as (partition by subject, horizon_days order by week_start)
)

select
    * exclude (is_turn, is_too_old),
    max(case when is_turn then week_ending end)
        over (partition by subject, horizon_days order by week_start) as state_since
from state_changes

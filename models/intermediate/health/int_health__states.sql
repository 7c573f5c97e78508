-- Weekly state of every bucket and of the published forecast: realised loss of matured
-- out-of-sample forecasts versus the loss that the tournament expected. Point in time. One row per
-- subject, horizon and week since the first forecast matured.
with
tests as (
    select * from {{ ref('int_health__weeks') }}
),

drift as (
    select bucket as subject, as_of_date as week_ending, * exclude (bucket, as_of_date)
    from {{ ref('int_health__drift') }}
),

-- of the models that were active on the day
novelties as (
    select bucket as subject, as_of_date as week_ending, novelty, novelty_feature
    from {{ ref('int_novelty__daily') }}
    qualify row_number() over (partition by bucket, as_of_date order by trained_until desc) = 1
),

reselections as (
    select bucket as subject, horizon_days, acted_on, data_source from {{ ref('degradations') }}
),

horizons as (
    select horizon_days, horizon_code from {{ ref('horizons') }}
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

-- every week from the first on; the newest week also for a subject without matured forecasts
weeks_of_subjects as (
    select
        subjects.subject,
        horizons.*,
        weeks.*,
        live.live_trained_until,
        is_newest
        and (live.live_as_of_date is distinct from weeks.week_ending) as is_without_forecast
    from (select unnest({{ var('buckets') + ['published'] }}) as subject) as subjects
    cross join horizons
    cross join weeks
    left join (
        select subject, horizon_days, min(week_start) as first_week
        from tests
        group by subject, horizon_days
    ) as firsts
        using (subject, horizon_days)
    left join live
        using (subject, horizon_days)
    where weeks.week_start >= firsts.first_week or weeks.is_newest
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
    window trailing_weeks as (
        partition by subject, horizon_days order by week_start
        -- noqa: disable=PRS
        range between to_days(7 * ({{ threshold('health_window_weeks') }}::integer - 1)) preceding
            and current row
        -- noqa: enable=PRS
    )
),

-- asof join: a week without matured forecasts keeps the last statistic
with_statistics as (
    select
        with_windows.* exclude (pinball, reference_pinball, n_inside_80),
        with_windows.pinball / with_windows.n_matured as pinball_pct,
        with_windows.reference_pinball / with_windows.n_matured as reference_pinball_pct,
        1 - with_windows.pinball / with_windows.reference_pinball as pinball_skill,
        with_windows.n_inside_80 / with_windows.n_matured as coverage_80,
        tests.* exclude (
            subject, horizon_days, week_start, n_matured, n_ledger, n_inside_80, pinball,
            reference_pinball
        ),
        drift.* exclude (subject, week_ending),
        novelties.novelty,
        novelties.novelty_feature,
        -- reselected; all outcomes since then belong to the previous models
        case when reselections.acted_on > tests.run_start then reselections.acted_on end
            as reselected_on,
        with_windows.week_ending - with_windows.live_trained_until as age_days,
        age_days > {{ threshold('model_expiry_days') }} as is_too_old
    from with_windows
    asof left join tests
        on tests.subject = with_windows.subject
        and tests.horizon_days = with_windows.horizon_days
        and with_windows.week_start >= tests.week_start
    asof left join reselections
        on reselections.subject = with_windows.subject
        and reselections.horizon_days = with_windows.horizon_days
        and reselections.data_source = with_windows.data_source
        and with_windows.week_ending >= reselections.acted_on
    left join drift
        on drift.subject = with_windows.subject
        and drift.week_ending = with_windows.week_ending
    left join novelties
        on novelties.subject = with_windows.subject
        and novelties.week_ending = with_windows.week_ending
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
        end as state,
        case when reason_code in ('health_degraded', 'health_watch') then
            case when pinball_skill >= expected_skill then 'health_and_recovering'
                when pinball_skill < expected_skill then 'health_and_skill' end
        end as skill_code
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
    * exclude (
        run_start, n_rows, excess, x, run_number, weekly_spread, weeks_in_run, allowance,
        is_too_old, is_turn
    ),
    max(case when is_turn then week_ending end)
        over (partition by subject, horizon_days order by week_start) as state_since
from state_changes

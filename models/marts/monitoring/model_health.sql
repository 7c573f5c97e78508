-- Health of every bucket and of the published line, week by week, from matured out-of-sample forecasts: is the loss what the tournament
-- had promised? A row sees nothing after its week. One row a subject, horizon and week since its first forecast matured.
{% set window_weeks = 26 %}
{% set expiry_days = var('model_expiry_days', 62) %}
{% set min_weeks = 104 %}  {# as in int_health__weeks #}
{% set drift_told_from = 4 %}  {# standard deviations; some feature of a bucket has moved by two in most weeks #}
{% set coverage_told_below = 0.6 %}  {# of the 80 % band: the test does not see what surprises model and reference alike #}
with
rows as (
    select * from {{ ref('int_health__rows') }}
),

tests as (
    select * from {{ ref('int_health__weeks') }}
),

drift as (
    select * from {{ ref('int_health__drift') }}
),

degradations as (
    select * from {{ ref('degradations') }}
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

horizons as (
    select * from {{ ref('horizons') }}
),

subjects as (
    select unnest({{ var('buckets') + ['published'] }}) as subject
),

weeks as (
    select
        date_trunc('week', as_of_date)::date as week_start,
        max(as_of_date) as week_ending,
        max(max(as_of_date)) over () as newest_session,
        any_value(data_source) as data_source
    from targets
    group by date_trunc('week', as_of_date)
),

-- the models in force; a bucket without a forecast for the newest session has none
live as (
    select
        forecasts.bucket as subject,
        forecasts.horizon_days,
        max(forecasts.trained_until) as live_trained_until,
        max(forecasts.as_of_date) as live_as_of_date
    from {{ ref('int_tournament__forecasts') }} as forecasts
    inner join {{ ref('int_tournament__choices') }} as choices
        on choices.bucket = forecasts.bucket
        and choices.kind = forecasts.kind
        and choices.fold_start = forecasts.fold_start
        and choices.horizon_days = forecasts.horizon_days
        and choices.family = forecasts.family
    where forecasts.kind = 'live' and forecasts.status = 'ok'
    group by forecasts.bucket, forecasts.horizon_days
    union all
    select 'published' as subject, horizon_days, max(trained_until) as live_trained_until, max(as_of_date) as live_as_of_date
    from {{ ref('int_ensemble__published') }}
    where kind = 'live' and p50 is not null
    group by horizon_days
),

by_week as (
    select
        subject,
        horizon_days,
        week_start,
        count(*) as n_matured,
        sum(pinball_pct) as pinball,
        sum(reference_pinball_pct) as reference_pinball,
        sum(is_inside_80::int) as n_inside_80,
        sum((source = 'ledger')::int) as n_ledger
    from rows
    group by subject, horizon_days, week_start
),

firsts as (
    select subject, horizon_days, min(week_start) as first_week
    from by_week
    group by subject, horizon_days
),

-- every week from the first on; the newest one also for a subject of which nothing has matured
grid as (
    select
        subjects.subject,
        horizons.horizon_days,
        horizons.horizon_code,
        weeks.week_start,
        weeks.week_ending,
        weeks.week_ending = weeks.newest_session as is_newest,
        weeks.data_source,
        live.live_trained_until,
        live.live_as_of_date is not distinct from weeks.newest_session as has_live_forecast
    from subjects
    cross join horizons
    cross join weeks
    left join firsts
        on firsts.subject = subjects.subject
        and firsts.horizon_days = horizons.horizon_days
    left join live
        on live.subject = subjects.subject
        and live.horizon_days = horizons.horizon_days
    where weeks.week_start >= firsts.first_week or weeks.week_ending = weeks.newest_session
),

windowed as (
    select
        grid.*,
        coalesce(by_week.n_matured, 0) as n_matured_in_week,
        coalesce(sum(by_week.n_matured) over trailing_weeks, 0) as n_matured,
        coalesce(sum(by_week.n_ledger) over trailing_weeks, 0) as n_ledger,
        sum(by_week.pinball) over trailing_weeks as pinball,
        sum(by_week.reference_pinball) over trailing_weeks as reference_pinball,
        sum(by_week.n_inside_80) over trailing_weeks as n_inside_80
    from grid
    left join by_week
        on by_week.subject = grid.subject
        and by_week.horizon_days = grid.horizon_days
        and by_week.week_start = grid.week_start
    window trailing_weeks as (
        partition by grid.subject, grid.horizon_days order by grid.week_start
        range between interval {{ 7 * (window_weeks - 1) }} days preceding and current row
    )
),

-- asof: a week in which nothing matured keeps the statistic of the last one in which something did
judged as (
    select
        windowed.*,
        tests.fold_start,
        tests.champion,
        tests.promised_gain,
        tests.n_promise_weeks,
        tests.weeks_judged,
        tests.statistic,
        tests.watch_at,
        tests.degraded_at,
        coalesce(tests.n_promise_weeks >= {{ min_weeks }}, false) as is_judged,
        tests.evidence_from,
        -- chosen anew, and all that has matured since is of the models before
        case when degradations.acted_on > tests.run_start then degradations.acted_on end as renewed_on,
        1 - windowed.pinball / windowed.reference_pinball as pinball_gain,
        drift.largest_shift,
        drift.largest_shift_feature,
        drift.share_beyond
    from windowed
    asof left join tests
        on tests.subject = windowed.subject
        and tests.horizon_days = windowed.horizon_days
        and windowed.week_start >= tests.week_start
    asof left join degradations
        on degradations.bucket = windowed.subject
        and degradations.horizon_days = windowed.horizon_days
        and degradations.data_source = windowed.data_source
        and windowed.week_ending >= degradations.acted_on
    left join drift
        on drift.bucket = windowed.subject
        and drift.as_of_date = windowed.week_ending
),

-- expiry is about the model in force, so only of weeks after it was trained: blocks of the history are a year long by design
stated as (
    select
        *,
        case
            when is_newest and not has_live_forecast then 'expired'
            when week_ending > live_trained_until + {{ expiry_days }} then 'expired'
            when renewed_on is not null then 'watch'
            when statistic >= degraded_at then 'degraded'
            when statistic >= watch_at then 'watch'
            else 'healthy'
        end as state
    from judged
),

turns as (
    select
        *,
        state is distinct from lag(state) over (partition by subject, horizon_days order by week_start) as is_turn
    from stated
),

dated as (
    select
        *,
        max(case when is_turn then week_ending end) over (
            partition by subject, horizon_days order by week_start
        ) as state_since,
        case when promised_gain is not null and pinball_gain is not null then format(
            'pinball gain {:+.1f} % in {} weeks, promised {:+.1f} %',
            100 * pinball_gain, {{ window_weeks }}, 100 * promised_gain
        ) end as gain_in_words,
        case when state in ('degraded', 'watch') and pinball_gain >= promised_gain
            then ': kept of late, and the statistic is coming down' else '' end as recovery_in_words
    from turns
),

worded as (
    select
        *,
        case
            when state = 'expired' and not has_live_forecast and is_newest
                then 'no forecast for ' || week_ending || ', the newest session'
            when state = 'expired' then format(
                'trained until {}, {} days before {}; the limit is {}',
                live_trained_until::varchar, week_ending - live_trained_until, week_ending::varchar, {{ expiry_days }}
            )
            when state = 'watch' and renewed_on is not null then format(
                'chosen and fitted anew on {} because it was degraded; nothing of the new models has matured', renewed_on::varchar
            )
            when state = 'degraded' then format(
                'loss of this block above its promise: statistic {:.1f}, degraded from {:.1f}; {}{}',
                statistic, degraded_at, gain_in_words, recovery_in_words
            )
            when state = 'watch' then format(
                'loss of this block above its promise: statistic {:.1f}, watch from {:.1f}, degraded from {:.1f}; {}{}',
                statistic, watch_at, degraded_at, gain_in_words, recovery_in_words
            )
            when champion is null then 'nothing has matured yet'
            when not is_judged then format(
                'not judged: the promise of {} rests on {} weeks, {} are needed',
                champion, coalesce(n_promise_weeks, 0), {{ min_weeks }}
            )
            else coalesce('no evidence against the promise: ' || gain_in_words, 'nothing has matured of late')
        end
        || case when abs(largest_shift) > {{ drift_told_from }} then format(
            '; {} has moved {:+.1f} standard deviations', largest_shift_feature, largest_shift
        ) else '' end
        || case when n_inside_80 / n_matured < {{ coverage_told_below }} then format(
            '; the 80 % band covered {:.0f} %', 100 * n_inside_80 / n_matured
        ) else '' end as reason
    from dated
),

final as (
    select
        ---------- key
        subject,
        horizon_days::integer as horizon_days,
        week_ending,

        ---------- state
        horizon_code,
        is_newest,
        state,
        state_since,
        reason,

        ---------- what is judged
        champion,
        fold_start,
        is_judged,
        n_matured_in_week::bigint as n_matured_in_week,
        n_matured::bigint as n_matured,
        n_ledger::bigint as n_ledger,

        ---------- losses in the window
        pinball / nullif(n_matured, 0) as pinball_pct,
        reference_pinball / nullif(n_matured, 0) as reference_pinball_pct,
        pinball_gain,
        promised_gain,
        n_inside_80 / nullif(n_matured, 0) as coverage_80,

        ---------- the sequential test
        case when is_judged then statistic end as statistic,
        watch_at,
        degraded_at,
        case when is_judged then evidence_from end as evidence_from,

        ---------- drift
        largest_shift,
        largest_shift_feature,
        share_beyond,

        ---------- the model in force
        live_trained_until,
        data_source
    from worded
)

select * from final
order by subject, horizon_days, week_ending

-- Weekly health of every bucket and of the published forecast, with the reason as text
-- (int_health__states).
with
states as (
    select * from {{ ref('int_health__states') }}
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

final as (
    select
        subject, horizon_days, week_ending, horizon_code, is_newest,
        state, state_since,
        reason_code,
        {{ reason_text(
            [
                'reason_code',
                "case
                    when reason_code not in ('health_degraded', 'health_watch') then null
                    when pinball_skill >= expected_skill then 'health_and_recovering'
                    when pinball_skill < expected_skill then 'health_and_skill'
                end",
                "case when abs(largest_shift) > " ~ threshold('drift_named_from')
                    ~ " then 'health_and_drift' end",
                "case when novelty > " ~ threshold('novelty_tolerance')
                    ~ " then 'health_and_novelty' end",
                "case when coverage_80 < " ~ threshold('coverage_named_below')
                    ~ " then 'health_and_coverage' end"
            ],
            numbers={
                'age_days': 'age_days', 'expiry_days': threshold('model_expiry_days'),
                'statistic': 'statistic', 'watch_at': 'watch_at',
                'degraded_at': 'degraded_at', 'n_expected_skill_weeks': 'n_expected_skill_weeks',
                'min_weeks': threshold('min_expected_skill_weeks'),
                'window_weeks': threshold('health_window_weeks'), 'skill': '100 * pinball_skill',
                'expected': '100 * expected_skill',
                'shift': 'largest_shift', 'coverage': '100 * coverage_80', 'novelty': 'novelty',
                'novelty_weight':
                    "100 * " ~ threshold('novelty_tolerance') ~ " / nullif(novelty, 0)"
            },
            texts={
                'week_ending': 'week_ending', 'trained_until': 'live_trained_until',
                'reselected_on': 'reselected_on', 'champion': 'champion',
                'feature': 'largest_shift_feature',
                'novelty_feature': 'novelty_feature'
            }
        ) }} as reason,
        champion, fold_start, coalesce(is_evaluated, false) as is_evaluated, n_matured_in_week,
        n_matured, n_ledger,
        pinball_pct, reference_pinball_pct, pinball_skill, expected_skill, coverage_80,
        case when is_evaluated then statistic end as statistic, watch_at, degraded_at,
        case when is_evaluated then evidence_from end as evidence_from,
        largest_shift, largest_shift_feature, share_beyond, novelty, novelty_feature,
        live_trained_until, data_source
    from states
    left join drift
        using (subject, week_ending)
    left join novelties
        using (subject, week_ending)
)

select * from final
order by subject, horizon_days, week_ending

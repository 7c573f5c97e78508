-- Weekly health of every bucket and of the published forecast, with the reason as text
-- (int_health__states).
with
states as (
    select * from {{ ref('int_health__states') }}
),

final as (
    select
        subject, horizon_days, week_ending, horizon_code, is_newest,
        state, state_since,
        reason_code,
        {{ reason_text(
            [
                'reason_code',
                'skill_code',
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
)

select * from final
order by subject, horizon_days, week_ending

-- Families of every bucket and horizon, ranked by the selection score of the live fold, with
-- criteria, verdict and reason. The consensus, which the ensemble reads, and families without
-- forecasts come last.
with
criteria as (
    select
        * exclude (
            fold_id, fold_type, fold_start, trained_until, fit_seconds, score_seconds,
            interpretability
        ),
        is_within_limits and has_forecasts as is_ranked
    from {{ ref('int_tournament__criteria') }}
    where fold_type = 'live'
),

choices as (
    select bucket, horizon_days, family as chosen, runner_up, reason as choice_reason
    from {{ ref('int_tournament__choices') }}
    where fold_type = 'live'
),

verdicts as (
    select bucket, horizon_days, family, p_value, p_value_holm, verdict
    from {{ ref('int_tournament__verdicts') }}
),

families as (
    select family, label, interpretability from {{ ref('families') }}
),

-- one row per fold: its first session, with the newest members
folds as (
    select * replace (max_by(members, as_of_date) over fold as members)
    from {{ ref('int_tournament__forecasts') }}
    where bucket <> 'core'
    window fold as (partition by bucket, horizon_days, family, fold_id)
    qualify row_number() over (fold order by as_of_date) = 1
),

entrants as (
    select
        bucket, horizon_days, horizon_code, family,
        -- worst status of all folds; `skipped` in the first fold is not a failure
        case
            when bool_or(status = 'failed') then 'failed'
            when bool_or(status = 'timed_out') then 'timed_out'
            when not bool_or(status = 'ok') then 'skipped'
            else 'ok'
        end as status,
        first(status order by fold_start desc, fold_type) filter (where status <> 'ok')
            as lost_status,
        first(reason order by fold_start desc, fold_type) filter (where status <> 'ok')
            as status_reason,
        count(*) as n_folds, count(*) filter (where status = 'ok') as n_folds_ok,
        bool_or(fold_type = 'live' and status = 'ok') as has_live_forecast,
        avg(fit_seconds) as fit_seconds, sum(fit_seconds) as fit_seconds_total,
        avg(score_seconds) as score_seconds, avg(validation_loss) as validation_loss,
        first(members order by fold_start desc, fold_type) as members,
        any_value(data_source) as data_source
    from folds
    group by bucket, horizon_days, horizon_code, family
),

families_with_verdicts as (
    select
        * replace (
            coalesce(is_ranked, false) and family <> 'consensus' as is_ranked,
            case when family <> 'reference' then coalesce(verdict, 'no_skill') end as verdict
        ),
        coalesce(family = chosen, false) as is_winner,
        coalesce(family = runner_up, false) as is_runner_up
    from entrants
    inner join families
        using (family)
    left join choices
        using (bucket, horizon_days)
    left join criteria
        using (bucket, horizon_days, family)
    left join verdicts
        using (bucket, horizon_days, family)
),

ranked_families as (
    select
        *,
        row_number() over by_rank as rank,
        first(family) over by_rank as winner,
        first(selection_score) over by_rank as winner_score,
        case when is_ranked and lead(is_ranked) over by_rank then lead(family) over by_rank end
            as next_family,
        case when is_ranked and lead(is_ranked) over by_rank
            then selection_score - lead(selection_score) over by_rank end as margin
    from families_with_verdicts
    window by_rank as (
        partition by bucket, horizon_days
        order by is_winner desc, is_ranked desc, selection_score desc nulls last, family
    )
),

final as (
    select
        bucket, horizon_days, horizon_code, rank::integer as rank, family, label, is_winner,
        is_runner_up, status, status_reason, n_folds, n_folds_ok, n_rows, pinball_pct,
        pinball_skill, carry_skill, rmse_pct, coverage_80, fit_seconds, fit_seconds_total,
        score_seconds,
        interpretability::double as interpretability, is_within_limits, validation_loss,
        regime, regime_n_rows, regime_weight, score_all, score_regime, selection_score, margin,
        p_value, p_value_holm, verdict,
        case
            when n_folds_ok = 0 then 'family_never_forecast'
            when family = 'consensus' and pinball_skill < 0 then 'family_consensus_above'
            when family = 'consensus' and pinball_skill is not null then 'family_consensus_below'
            when is_winner and selection_score is null then 'family_default_champion'
            when is_winner and choice_reason is not null then 'family_kept_champion'
            when is_winner and family = 'reference' then 'family_none_better'
            when is_winner and pinball_skill < 0 then 'family_best_above'
            when is_winner then 'family_best_below'
            when not has_live_forecast then 'family_no_forecast_now'
            when selection_score is null then 'family_nothing_matured'
            when not is_within_limits then 'family_too_slow'
            when selection_score > winner_score then 'family_ahead_of_champion'
            else 'family_behind'
        end as reason_code,
        {{ reason_text(
            [
                'reason_code',
                "case when is_winner and margin >= 0 then 'family_and_margin' end",
                "case when is_winner and regime_weight > 0 then 'family_and_regime' end",
                "case when n_folds_ok between 1 and n_folds - 1 then 'family_and_lost_folds' end"
            ],
            numbers={
                'n_folds': 'n_folds', 'n_folds_ok': 'n_folds_ok', 'score': 'selection_score',
                'skill': '100 * abs(pinball_skill)', 'coverage': '100 * coverage_80',
                'distance': 'abs(winner_score - selection_score)', 'margin': 'margin',
                'regime_weight': '100 * regime_weight',
                'max_fit_seconds': threshold('max_fit_seconds'),
                'max_score_seconds': threshold('max_score_seconds')
            },
            texts={
                'status': 'status', 'lost_status': 'lost_status', 'choice_reason': 'choice_reason',
                'lost_reason': "coalesce(status_reason, 'no reason given')", 'winner': 'winner',
                'next_family': 'next_family', 'regime': 'regime', 'members': 'members'
            }
        ) }} as reason,
        data_source
    from ranked_families
)

select * from final
order by bucket, horizon_days, rank

-- The tournament as it stands now: every family of every bucket and horizon in its place, by the live choice's score, with the six
-- criteria, the verdict and why. A family without forecasts is here too, last, with its reason.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where bucket <> 'core'
),

criteria as (
    select * from {{ ref('int_tournament__criteria') }}
    where kind = 'live'
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where kind = 'live'
),

verdicts as (
    select * from {{ ref('family_verdicts') }}
),

families as (
    select * from {{ ref('families') }}
),

blocks as (
    select
        bucket,
        horizon_days,
        horizon_code,
        family,
        kind,
        fold_start,
        any_value(status) as status,
        any_value(reason) as reason,
        any_value(fit_seconds) as fit_seconds,
        any_value(score_seconds) as score_seconds,
        any_value(validation_loss) as validation_loss,
        any_value(data_source) as data_source
    from forecasts
    group by bucket, horizon_days, horizon_code, family, kind, fold_start
),

entrants as (
    select
        bucket,
        horizon_days,
        horizon_code,
        family,
        -- the worst of all blocks; waiting for a first block to learn from is no fault
        case
            when bool_or(status = 'failed') then 'failed'
            when bool_or(status = 'timed_out') then 'timed_out'
            when not bool_or(status = 'ok') then 'skipped'
            else 'ok'
        end as status,
        first(status order by fold_start desc, kind) filter (where status <> 'ok') as lost_status,
        first(reason order by fold_start desc, kind) filter (where status <> 'ok') as reason,
        count(*) as n_blocks,
        count(*) filter (where status = 'ok') as n_blocks_ok,
        bool_or(kind = 'live' and status = 'ok') as has_live_forecast,
        avg(fit_seconds) as fit_seconds,
        sum(fit_seconds) as fit_seconds_total,
        avg(score_seconds) as score_seconds,
        avg(validation_loss) as validation_loss,
        any_value(data_source) as data_source
    from blocks
    group by bucket, horizon_days, horizon_code, family
),

joined as (
    select
        entrants.*,
        families.label,
        families.interpretability,
        coalesce(entrants.family = choices.family, false) as is_winner,
        coalesce(entrants.family = choices.runner_up, false) as is_runner_up,
        choices.kept_because,
        criteria.* exclude (bucket, horizon_days, family, kind, fold_start, trained_until, fit_seconds, score_seconds, interpretability),
        coalesce(criteria.is_within_limits and criteria.has_forecasts, false) as is_ranked,
        verdicts.p_value,
        verdicts.p_value_holm,
        case when entrants.family <> 'reference' then coalesce(verdicts.verdict, 'no_skill') end as verdict
    from entrants
    inner join families
        on families.family = entrants.family
    left join choices
        on choices.bucket = entrants.bucket
        and choices.horizon_days = entrants.horizon_days
    left join criteria
        on criteria.bucket = entrants.bucket
        and criteria.horizon_days = entrants.horizon_days
        and criteria.family = entrants.family
    left join verdicts
        on verdicts.bucket = entrants.bucket
        and verdicts.horizon_days = entrants.horizon_days
        and verdicts.family = entrants.family
),

placed as (
    select
        *,
        row_number() over by_place as place,
        first(family) over by_place as winner,
        first(score) over by_place as winner_score,
        case when is_ranked and lead(is_ranked) over by_place then lead(family) over by_place end as next_family,
        case when is_ranked and lead(is_ranked) over by_place then score - lead(score) over by_place end as margin
    from joined
    window by_place as (
        partition by bucket, horizon_days
        order by is_winner desc, is_ranked desc, score desc nulls last, family
    )
),

explained as (
    select
        *,
        case
            when n_blocks_ok = 0 then format('{} in all {} blocks: {}', status, n_blocks, coalesce(reason, 'no reason given'))
            when is_winner and score is null then 'stands without evidence: nothing has matured to choose by'
            when is_winner and kept_because is not null then kept_because
            when is_winner and family = 'reference' then 'best score 0: no family does better than the reference'
            when is_winner then format(
                'best score {:.4f}: pinball {:.1f} % {} the reference, 80 % band covers {:.0f} %',
                score, 100 * abs(pinball_gain), case when pinball_gain < 0 then 'above' else 'below' end, 100 * coverage_80
            )
            when not has_live_forecast then 'not ranked, no forecast now'
            when score is null then 'not ranked, nothing has matured'
            when not is_within_limits then 'not ranked, beyond the limits of 1800 s to train and 1 s to score'
            when score > winner_score then format('{:.4f} before {}, which stays champion', score - winner_score, winner)
            else format('{:.4f} behind {}', winner_score - score, winner)
        end as verdict_in_words,
        case when is_winner and next_family is not null and margin >= 0
            then format(', margin {:.4f} over {}', margin, next_family) else '' end as margin_in_words,
        case when is_winner and regime_weight > 0
            then format('; regime {} counts for {:.0f} %', regime, 100 * regime_weight) else '' end as regime_in_words,
        case when n_blocks_ok between 1 and n_blocks - 1
            then format('; {} of {} blocks, the rest {}: {}', n_blocks_ok, n_blocks, lost_status, coalesce(reason, 'no reason given'))
            else '' end as blocks_in_words
    from placed
),

final as (
    select
        ---------- key
        bucket,
        horizon_days::integer as horizon_days,
        horizon_code,
        place::integer as place,
        family,
        label,
        is_winner,
        is_runner_up,

        ---------- what became of it
        status,
        reason,
        n_blocks,
        n_blocks_ok,

        ---------- the six criteria
        n_rows,
        pinball_pct,
        pinball_gain,
        rmse_pct,
        coverage_80,
        fit_seconds,
        fit_seconds_total,
        score_seconds,
        interpretability::double as interpretability,
        is_within_limits,
        validation_loss,

        ---------- score
        regime,
        regime_n_rows,
        regime_weight,
        score_all,
        score_regime,
        score,
        margin,

        ---------- skill
        p_value,
        p_value_holm,
        verdict,

        ---------- in words
        verdict_in_words || margin_in_words || regime_in_words || blocks_in_words as why,
        data_source
    from explained
)

select * from final
order by bucket, horizon_days, place

-- Criteria of each family at the start of a fold, over the out-of-fold rows matured by then, and
-- the selection score relative to the reference, which scores zero (seeds/score_weights.csv): over
-- all rows, those of the fold's regime and those since a degradation. Uses nothing of the fold; its
-- regime is that of the last session before it.
with
carry_losses as (
    select as_of_date, horizon_days, pinball_pct as carry_pinball_pct
    from {{ ref('int_carry__forecasts') }}
    where fold_type = 'oof'
),

forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    left join carry_losses
        using (as_of_date, horizon_days)
    where bucket <> 'core'
),

families as (
    select family, interpretability from {{ ref('families') }}
),

weights as (select * from {{ ref('score_weights') }}),

evidence as (
    {{ evidence_since() }}
),

-- asof join: the newest session before the fold
folds as (
    select folds.*, regimes.regime
    from (
        select distinct bucket, fold_id, fold_type, fold_start, trained_until from forecasts
    ) as folds
    asof left join {{ ref('int_regimes__daily') }} as regimes
        on folds.fold_start > regimes.as_of_date
),

{{ available_competitors('family', by=['bucket']) }},

past as (
    select
        folds.*,
        rows.horizon_days,
        rows.family,
        unnest(
            ['all']
            || case when past_regimes.regime = folds.regime then ['regime'] else [] end
            -- rows since the start of the latest degradation
            || case
                when folds.fold_type = 'live' and rows.target_date >= evidence.evidence_from then
                    ['since']
                else []
            end
        ) as scope,
        rows.pinball_pct, rows.carry_pinball_pct, rows.error_pct, rows.is_inside_80, rows.width_pct,
        rows.fit_seconds, rows.score_seconds,
        -- compare on the family's own rows, so that a family that failed in a bad year does not
        -- benefit
        rows.reference_pinball_pct, rows.reference_error_pct, rows.reference_is_inside_80
    from folds
    inner join forecasts as rows
        on rows.bucket = folds.bucket
        and rows.fold_type = 'oof'
        and rows.is_matured
        and rows.status = 'ok'
        and rows.fold_start < folds.fold_start
        and rows.target_date < folds.trained_until
    left join {{ ref('int_regimes__daily') }} as past_regimes
        on past_regimes.as_of_date = rows.as_of_date
    left join evidence
        on evidence.bucket = rows.bucket
        and evidence.horizon_days = rows.horizon_days
),

criteria as (
    select
        bucket, fold_id, fold_type, fold_start, trained_until, horizon_days, family, regime, scope,
        {{ forecast_criteria('past') }},
        1 - avg(pinball_pct) filter (where carry_pinball_pct is not null) / avg(carry_pinball_pct)
            as carry_skill,
        avg(reference_pinball_pct) as reference_pinball_pct,
        sqrt(avg(pow(reference_error_pct, 2))) as reference_rmse_pct,
        avg(reference_is_inside_80::int) as reference_coverage_80
    from past
    group by all
),

relative_criteria as (
    select
        criteria.*,
        1 - pinball_pct / reference_pinball_pct as pinball_skill,
        1 - rmse_pct / reference_rmse_pct as rmse_skill,
        abs(reference_coverage_80 - 0.8) - abs(coverage_80 - 0.8) as coverage_skill,
        interpretability,
        interpretability
        - (select interpretability from families where family = 'reference')
            as interpretability_skill
    from criteria
    inner join families
        using (family)
),

scores as (
    {{ weighted_scores(
        'relative_criteria',
        ['bucket', 'fold_id', 'horizon_days', 'family', 'scope'],
        ['pinball_skill', 'rmse_skill', 'coverage_skill', 'interpretability_skill']
    ) }}
),

by_scope as (
    select
        bucket, fold_id, horizon_days, family,
        any_value(weighted_score) filter (where scope = 'all') as score_all,
        any_value(weighted_score) filter (where scope = 'regime') as score_regime,
        any_value(weighted_score) filter (where scope = 'since') as score_since,
        coalesce(any_value(n_rows) filter (where scope = 'regime'), 0) as regime_n_rows,
        coalesce(any_value(n_rows) filter (where scope = 'since'), 0) as since_n_rows,
        -- a part of the rows weighs by its non-overlapping samples; rows since a degradation weigh
        -- more because the market changed
        regime_n_rows
        / (regime_n_rows + {{ threshold('regime_prior_samples') }} * horizon_days) as regime_weight,
        since_n_rows
        / (since_n_rows + {{ threshold('degraded_prior_samples') }} * horizon_days) as since_weight
    from scores
    group by bucket, fold_id, horizon_days, family
),

final as (
    select
        relative_criteria.* exclude (scope),
        by_scope.* exclude (bucket, fold_id, horizon_days, family),
        score_all + regime_weight * (coalesce(score_regime, score_all) - score_all) as score_before,
        score_before + since_weight * (coalesce(score_since, score_before) - score_before)
            as selection_score,
        -- run time is a limit, not a criterion, so that it does not decide between families
        fit_seconds <= {{ threshold('max_fit_seconds') }}
        and score_seconds <= {{ threshold('max_score_seconds') }} as is_within_limits,
        coalesce(available_competitors.has_forecasts, false) as has_forecasts
    from relative_criteria
    inner join by_scope
        using (bucket, fold_id, horizon_days, family)
    left join available_competitors
        using (bucket, fold_id, horizon_days, family)
    where relative_criteria.scope = 'all'
)

select * from final

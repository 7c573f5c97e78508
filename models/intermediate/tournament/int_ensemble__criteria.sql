-- Criteria of each ensemble method at the start of a fold, over the out-of-fold rows matured by
-- then, and the selection score relative to the reference, which scores zero
-- (seeds/ensemble_score_weights.csv). With few samples luck decides, so the score is shrunk towards
-- prior_score (seeds/ensemble_methods.csv).
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

methods as (
    select ensemble_method, prior_score, complexity_rank from {{ ref('ensemble_methods') }}
),

weights as (
    select * from {{ ref('ensemble_score_weights') }}
),

evidence as (
    select distinct
        fold_id,
        horizon_days,
        ensemble_method,
        n_compared::bigint as n_compared,
        mcs_p_value,
        is_in_confidence_set,
        dm_statistic,
        dm_p_value
    from forecasts
    where n_compared is not null
),

folds as (
    select distinct
        fold_id, fold_type, fold_start, trained_until, horizon_days, horizon_code, fold_number
    from forecasts
),

{{ available_competitors('ensemble_method') }},

averages as (
    select
        folds.fold_id,
        folds.horizon_days,
        rows.ensemble_method,
        {{ forecast_criteria('rows') }},
        avg(rows.is_inside_50::int) as coverage_50,
        avg(rows.is_inside_90::int) as coverage_90,
        -- compare on the method's own rows, so that a method that failed in a bad year does not
        -- benefit
        avg(rows.reference_pinball_pct) as reference_pinball_pct,
        avg(rows.reference_width_pct) as reference_width_80_pct,
        avg(rows.reference_is_inside_50::int) as reference_coverage_50,
        avg(rows.reference_is_inside_80::int) as reference_coverage_80,
        avg(rows.reference_is_inside_90::int) as reference_coverage_90
    from folds
    inner join forecasts as rows
        on rows.fold_type = 'oof'
        and rows.horizon_days = folds.horizon_days
        and rows.is_matured
        and rows.status = 'ok'
        and rows.fold_number >= {{ threshold('first_scored_fold') }}
        and rows.fold_start < folds.fold_start
        and rows.target_date < folds.trained_until
    group by folds.fold_id, folds.horizon_days, rows.ensemble_method
),

criteria as (
    select
        *,
        1 - pinball_pct / reference_pinball_pct as pinball_skill,
        round((
            abs(reference_coverage_50 - 0.5) - abs(coverage_50 - 0.5)
            + abs(reference_coverage_80 - 0.8) - abs(coverage_80 - 0.8)
            + abs(reference_coverage_90 - 0.9) - abs(coverage_90 - 0.9)
        ) / 3, 12) as coverage_skill,  -- rounded, so that equal coverage gives equal skill
        1 - width_80_pct / reference_width_80_pct as sharpness_skill
    from averages
),

scores as (
    {{ weighted_scores('criteria', ['fold_id', 'horizon_days', 'ensemble_method'],
                       ['pinball_skill', 'coverage_skill', 'sharpness_skill']) }}
),

entrants as (
    select * from folds
    cross join methods
),

compared_folds as (
    select distinct fold_id, horizon_days, true as is_any_compared from evidence
),

final as (
    select
        ---------- key
        entrants.* exclude (prior_score, complexity_rank),

        ---------- raw criteria, and relative to the reference; null without matured rows
        criteria.* exclude (fold_id, horizon_days, ensemble_method) replace (
            coalesce(criteria.n_rows, 0) as n_rows
        ),

        ---------- selection score: non-overlapping samples versus those of the prior
        scores.weighted_score as raw_score,
        entrants.prior_score,
        coalesce(criteria.n_rows, 0) / entrants.horizon_days as n_independent,
        (
            n_independent * coalesce(scores.weighted_score, 0)
            + {{ threshold('ensemble_prior_samples') }} * entrants.prior_score
        ) / (n_independent + {{ threshold('ensemble_prior_samples') }}) as selection_score,

        ---------- eligibility
        entrants.complexity_rank,
        evidence.n_compared,
        evidence.mcs_p_value,
        -- Without comparable rows no method is ruled out, nor is a new one. A method that failed
        -- too often to be compared is ruled out.
        coalesce(
            evidence.is_in_confidence_set,
            criteria.n_rows is null or compared_folds.is_any_compared is null
        ) as is_in_confidence_set,
        evidence.dm_statistic,
        evidence.dm_p_value,
        coalesce(available_competitors.has_forecasts, false) as has_forecasts,
        coalesce(greatest(criteria.fit_seconds, criteria.score_seconds), 0)
        <= {{ threshold('max_ensemble_seconds') }} as is_within_limits
    from entrants
    left join criteria using (fold_id, horizon_days, ensemble_method)
    left join scores using (fold_id, horizon_days, ensemble_method)
    left join evidence using (fold_id, horizon_days, ensemble_method)
    left join compared_folds using (fold_id, horizon_days)
    left join available_competitors using (fold_id, horizon_days, ensemble_method)
)

select * from final

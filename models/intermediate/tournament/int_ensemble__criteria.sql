-- Criteria of each ensemble method at the start of a fold, over the out-of-fold rows matured by
-- then, with the evidence against the method that it would replace.
with
carry_losses as (
    select as_of_date, horizon_days, pinball_pct as carry_pinball_pct
    from {{ ref('int_carry__forecasts') }}
    where fold_type = 'oof'
),

forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
    left join carry_losses
        using (as_of_date, horizon_days)
),

methods as (
    select ensemble_method, complexity_rank from {{ ref('ensemble_methods') }}
),

evidence as (
    select distinct
        fold_id,
        horizon_days,
        ensemble_method,
        n_compared::bigint as n_compared,
        dm_statistic,
        dm_p_value,
        benchmark,
        benchmark_skill,
        benchmark_p_value,
        benchmark_p_value_holm
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
        1 - avg(rows.pinball_pct) filter (where rows.carry_pinball_pct is not null)
        / avg(rows.carry_pinball_pct) as carry_skill,
        avg(rows.is_inside_50::int) as coverage_50,
        avg(rows.is_inside_90::int) as coverage_90,
        -- compare on the method's own rows, so that a method that failed in a bad year does not
        -- benefit
        avg(rows.reference_pinball_pct) as reference_pinball_pct,
        avg(rows.reference_width_pct) as reference_width_80_pct
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
        width_80_pct / reference_width_80_pct as relative_width_80
    from averages
),

entrants as (
    select * from folds
    cross join methods
),

final as (
    select
        ---------- key
        entrants.* exclude (complexity_rank),

        ---------- raw criteria, and relative to the reference; null without matured rows
        criteria.* exclude (fold_id, horizon_days, ensemble_method) replace (
            coalesce(criteria.n_rows, 0) as n_rows
        ),
        coalesce(criteria.n_rows, 0) / entrants.horizon_days as n_independent,

        ---------- evidence against the reference, and against the method that it would replace
        evidence.* exclude (fold_id, horizon_days, ensemble_method),

        ---------- eligibility
        entrants.complexity_rank,
        coalesce(available_competitors.has_forecasts, false) as has_forecasts,
        coalesce(greatest(criteria.fit_seconds, criteria.score_seconds), 0)
        <= {{ threshold('max_ensemble_seconds') }} as is_within_limits
    from entrants
    left join criteria using (fold_id, horizon_days, ensemble_method)
    left join evidence using (fold_id, horizon_days, ensemble_method)
    left join available_competitors using (fold_id, horizon_days, ensemble_method)
)

select * from final

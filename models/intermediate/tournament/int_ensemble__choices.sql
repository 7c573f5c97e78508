-- Published method per fold and horizon, selected on rows that had matured before the fold. The
-- average is published until another method is better on evidence: a Diebold-Mariano test against
-- the average, adjusted for all methods and horizons tried. Then the width: a method that adjusts
-- the bands of the selected one replaces it on the same evidence against it. Where not even the
-- average has a forecast, the reference is published.
with
criteria as (
    select
        *,
        coalesce(benchmark_p_value_holm < {{ threshold('ensemble_evidence_level') }}, false)
            as is_better_on_evidence
    from {{ ref('int_ensemble__criteria') }}
    where has_forecasts and is_within_limits
),

methods as (
    select ensemble_method, base_method from {{ ref('ensemble_methods') }}
),

weightings as (
    select criteria.*
    from criteria
    inner join methods
        using (ensemble_method)
    where base_method is null
        and (is_better_on_evidence or ensemble_method in ('average', 'reference_alone'))
    qualify row_number() over (
        partition by fold_id, horizon_days
        order by
            is_better_on_evidence desc,
            ensemble_method = 'average' desc,
            benchmark_p_value_holm asc,
            complexity_rank asc,
            ensemble_method asc
    ) = 1
),

adjustments as (
    select criteria.*, methods.base_method
    from criteria
    inner join methods
        using (ensemble_method)
    inner join weightings
        on weightings.fold_id = criteria.fold_id
        and weightings.horizon_days = criteria.horizon_days
        and weightings.ensemble_method = methods.base_method
    where criteria.is_better_on_evidence
    qualify row_number() over (
        partition by criteria.fold_id, criteria.horizon_days
        order by
            criteria.benchmark_p_value_holm asc,
            criteria.complexity_rank asc,
            criteria.ensemble_method asc
    ) = 1
),

selected_methods as (
    select * exclude (base_method) from adjustments
    union all by name
    select weightings.*
    from weightings
    anti join adjustments
        using (fold_id, horizon_days)
)

select
    fold_id,
    fold_type,
    fold_start,
    trained_until,
    horizon_days,
    horizon_code,
    fold_number,
    ensemble_method,
    n_rows,
    benchmark,
    benchmark_skill,
    benchmark_p_value_holm,
    pinball_skill as pinball_skill_so_far
from selected_methods

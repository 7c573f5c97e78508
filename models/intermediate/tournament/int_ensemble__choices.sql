-- Published method per fold and horizon, selected on rows that had matured before the fold: among
-- methods in the model confidence set that beat the reference by the minimum score, the simplest
-- one, then the highest score. Methods in the set cannot be distinguished by their losses, so the
-- simpler one is the safer choice. Without such a method the reference is published.
with
criteria as (
    select * from {{ ref('int_ensemble__criteria') }}
),

ranked_methods as (
    select
        *,
        lead(ensemble_method) over by_rank as runner_up
    from criteria
    where has_forecasts
        and (
            ensemble_method = 'reference_alone'
            or (
                is_in_confidence_set
                and is_within_limits
                and selection_score > {{ threshold('ensemble_min_score') }}
            )
        )
    window by_rank as (
        partition by fold_id, horizon_days
        order by
            ensemble_method = 'reference_alone',
            complexity_rank asc,
            selection_score desc,
            ensemble_method asc
    )
    qualify row_number() over by_rank = 1
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
    runner_up,
    n_rows,
    selection_score,
    pinball_skill as pinball_skill_so_far
from ranked_methods

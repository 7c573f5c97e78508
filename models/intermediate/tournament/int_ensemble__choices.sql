-- The method that is published in each fold and horizon, on what had matured before the fold: of those in the model confidence set
-- whose score lies above the reference's by more than the minimum score, the least complex, and of these the best score. Methods in
-- the set cannot be distinguished by their losses, and the one with less to learn has less to get wrong.
-- Where there is none, it is the reference alone.
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
            or (is_in_confidence_set and is_within_limits and score > {{ threshold('ensemble_min_score') }})
        )
    window by_rank as (
        partition by fold_id, horizon_days
        order by ensemble_method = 'reference_alone', complexity_rank, score desc, ensemble_method
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
    score,
    pinball_skill as pinball_skill_so_far
from ranked_methods

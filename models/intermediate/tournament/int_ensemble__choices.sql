-- The method that is published in each fold and horizon, on what had matured before the fold: of those in the model confidence set
-- whose score lies above the reference's by more than the least gain, the least costly, and of these the best score. Methods in
-- the set cannot be told apart by their losses, and the one with less to learn has less to get wrong.
-- Where there is none, it is the reference alone.
with
criteria as (
    select * from {{ ref('int_ensemble__criteria') }}
),

ranked as (
    select
        *,
        lead(ensemble_method) over by_rank as runner_up
    from criteria
    where has_forecasts
        and (
            ensemble_method = 'reference_alone'
            or (is_in_confidence_set and is_within_limits and score > {{ threshold('ensemble_min_gain') }})
        )
    window by_rank as (
        partition by fold_id, horizon_days
        order by ensemble_method = 'reference_alone', cost, score desc, ensemble_method
    )
    qualify row_number() over by_rank = 1
)

select
    fold_id,
    kind,
    fold_start,
    trained_until,
    horizon_days,
    horizon_code,
    block_number,
    ensemble_method,
    runner_up,
    n_rows,
    score,
    pinball_gain as pinball_skill_so_far
from ranked

-- What was known of each family when a block began: its criteria over all out-of-fold rows whose targets had matured by then,
-- relative to the reference, and the weighted score (seeds/score_weights.csv). Nothing in here has seen the block.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
),

families as (
    select * from {{ ref('families') }}
),

weights as (
    select * from {{ ref('score_weights') }}
),

blocks as (
    select distinct bucket, kind, fold_start, trained_until
    from forecasts
    where bucket <> 'core'
),

criteria as (
    select
        blocks.bucket,
        blocks.kind,
        blocks.fold_start,
        blocks.trained_until,
        past.horizon_days,
        past.family,
        {{ forecast_criteria('past') }},
        -- on the family's own rows: one that failed in a bad year must not look good for it
        avg(reference.pinball_pct) as reference_pinball_pct,
        sqrt(avg(pow(reference.error_pct, 2))) as reference_rmse_pct
    from blocks
    inner join forecasts as past
        on past.bucket = blocks.bucket
        and past.kind = 'oof'
        and past.is_matured
        and past.status = 'ok'
        and past.fold_start < blocks.fold_start
        and past.target_date < blocks.trained_until
    inner join forecasts as reference
        on reference.bucket = past.bucket
        and reference.kind = past.kind
        and reference.fold_start = past.fold_start
        and reference.as_of_date = past.as_of_date
        and reference.horizon_days = past.horizon_days
        and reference.family = 'reference'
    group by all
),

relative as (
    select
        criteria.*,
        1 - criteria.pinball_pct / criteria.reference_pinball_pct as pinball_gain,
        1 - criteria.rmse_pct / criteria.reference_rmse_pct as rmse_gain,
        -abs(criteria.coverage_80 - 0.8) as coverage_error,
        families.interpretability
    from criteria
    inner join families
        on families.family = criteria.family
    -- time is a gate, half an hour to train and a second to score a day, and no part of the score: a clock must not choose
    where criteria.fit_seconds <= 1800 and criteria.score_seconds <= 1
),

scores as (
    select bucket, kind, fold_start, horizon_days, family, sum(weights.weight * long.value) as score
    from (
        unpivot relative on pinball_gain, rmse_gain, coverage_error, interpretability
        into name criterion value value
    ) as long
    inner join weights
        on weights.criterion = long.criterion
    group by all
),

final as (
    select relative.*, scores.score
    from relative
    inner join scores
        using (bucket, kind, fold_start, horizon_days, family)
)

select * from final

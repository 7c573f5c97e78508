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
        {{ forecast_criteria() }}
    from blocks
    inner join forecasts as past
        on past.bucket = blocks.bucket
        and past.kind = 'oof'
        and past.is_matured
        and past.status = 'ok'
        and past.fold_start < blocks.fold_start
        and past.target_date < blocks.trained_until
    group by all
),

relative as (
    select
        criteria.*,
        1 - criteria.pinball_pct / reference.pinball_pct as pinball_gain,
        1 - criteria.rmse_pct / reference.rmse_pct as rmse_gain,
        -abs(criteria.coverage_80 - 0.8) as coverage_error,
        -criteria.fit_seconds / 1800 as fit_time,
        -criteria.score_seconds as score_time,
        families.interpretability
    from criteria
    inner join criteria as reference
        on reference.bucket = criteria.bucket
        and reference.kind = criteria.kind
        and reference.fold_start = criteria.fold_start
        and reference.horizon_days = criteria.horizon_days
        and reference.family = 'reference'
    inner join families
        on families.family = criteria.family
    -- the gates of the tournament: half an hour to train, a second to score
    where criteria.fit_seconds <= 1800 and criteria.score_seconds <= 1
),

scores as (
    select bucket, kind, fold_start, horizon_days, family, sum(weights.weight * long.value) as score
    from (
        unpivot relative on pinball_gain, rmse_gain, coverage_error, fit_time, score_time, interpretability
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

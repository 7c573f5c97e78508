-- The family that stands for a bucket in each block and horizon: the best score on what had matured before the block.
-- In the first block nothing has: there it is the bucket's first candidate in seeds/buckets.csv, the choice made without data.
with
criteria as (
    select * from {{ ref('int_tournament__criteria') }}
),

blocks as (
    select distinct bucket, kind, fold_start, trained_until, horizon_days
    from {{ ref('int_tournament__forecasts') }}
    where bucket <> 'core'
),

-- the first candidate, or the reference where that one did not compete
candidates as (
    select
        buckets.bucket,
        coalesce(any_value(forecasts.family), 'reference') as first_candidate
    from {{ ref('buckets') }} as buckets
    left join {{ ref('int_tournament__forecasts') }} as forecasts
        on forecasts.bucket = buckets.bucket
        and forecasts.family = split_part(buckets.candidates, ' ', 1)
        and forecasts.status = 'ok'
    group by buckets.bucket
),

ranked as (
    select
        *,
        row_number() over by_score as place,
        lead(family) over by_score as runner_up,
        score - lead(score) over by_score as margin
    from criteria
    window by_score as (
        partition by bucket, kind, fold_start, horizon_days order by score desc, family
    )
),

final as (
    select
        blocks.*,
        coalesce(ranked.family, candidates.first_candidate) as family,
        ranked.runner_up,
        ranked.margin,
        ranked.score,
        coalesce(ranked.n_rows, 0) as n_rows,
        ranked.pinball_gain,
        ranked.coverage_80
    from blocks
    inner join candidates
        on candidates.bucket = blocks.bucket
    left join ranked
        on ranked.bucket = blocks.bucket
        and ranked.kind = blocks.kind
        and ranked.fold_start = blocks.fold_start
        and ranked.horizon_days = blocks.horizon_days
        and ranked.place = 1
)

select * from final

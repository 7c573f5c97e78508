-- The family with the best score in each block and horizon, on what had matured before the block, of the families that forecast the
-- block and keep within the limits of time. In the live block it must still replace the champion (int_tournament__promotions).
-- In the first block nothing has matured: there it is the bucket's first candidate in seeds/buckets.csv, the choice made without data.
with
criteria as (
    select * from {{ ref('int_tournament__criteria') }}
),

forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where bucket <> 'core'
),

buckets as (
    select * from {{ ref('buckets') }}
),

-- the first candidate, or the reference where that one has no forecasts
blocks as (
    select
        forecasts.bucket,
        forecasts.kind,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.horizon_days,
        coalesce(
            any_value(forecasts.family) filter (
                where forecasts.family = split_part(buckets.candidates, ' ', 1) and forecasts.status = 'ok'
            ),
            'reference'
        ) as first_candidate
    from forecasts
    inner join buckets
        on buckets.bucket = forecasts.bucket
    group by forecasts.bucket, forecasts.kind, forecasts.fold_start, forecasts.trained_until, forecasts.horizon_days
),

ranked as (
    select
        *,
        row_number() over by_score as place,
        lead(family) over by_score as runner_up,
        score - lead(score) over by_score as margin
    from criteria
    where is_within_limits and has_forecasts
    window by_score as (
        partition by bucket, kind, fold_start, horizon_days order by score desc, family
    )
),

final as (
    select
        blocks.* exclude (first_candidate),
        -- a live block without evidence follows a degradation of which nothing has matured yet
        coalesce(ranked.family, case blocks.kind when 'live' then 'reference' else blocks.first_candidate end) as family,
        ranked.runner_up,
        ranked.margin,
        ranked.score,
        coalesce(ranked.n_rows, 0) as n_rows,
        ranked.pinball_gain,
        ranked.coverage_80,
        ranked.regime,
        ranked.regime_weight
    from blocks
    left join ranked
        on ranked.bucket = blocks.bucket
        and ranked.kind = blocks.kind
        and ranked.fold_start = blocks.fold_start
        and ranked.horizon_days = blocks.horizon_days
        and ranked.place = 1
)

select * from final

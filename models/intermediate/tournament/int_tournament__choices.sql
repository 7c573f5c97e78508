-- The family that stands for a bucket in each block and horizon: the best score on what had matured before the block, and in the live
-- block the champion where that one is worse than it.
with
challengers as (
    select * from {{ ref('int_tournament__challengers') }}
),

promotions as (
    select * from {{ ref('int_tournament__promotions') }}
    where not is_promoted
),

criteria as (
    select * from {{ ref('int_tournament__criteria') }}
    where kind = 'live'
),

kept as (
    select
        challengers.bucket,
        challengers.kind,
        challengers.fold_start,
        challengers.trained_until,
        challengers.horizon_days,
        promotions.champion as family,
        promotions.challenger as runner_up,
        criteria.score - challengers.score as margin,
        criteria.score,
        criteria.n_rows,
        criteria.pinball_gain,
        criteria.coverage_80,
        criteria.regime,
        criteria.regime_weight,
        promotions.reason as kept_because
    from challengers
    inner join promotions
        on challengers.kind = 'live'
        and promotions.bucket = challengers.bucket
        and promotions.horizon_days = challengers.horizon_days
    inner join criteria
        on criteria.bucket = challengers.bucket
        and criteria.horizon_days = challengers.horizon_days
        and criteria.family = promotions.champion
),

final as (
    select *, null::varchar as kept_because
    from challengers
    where not exists (
        select 1 from kept
        where kept.bucket = challengers.bucket
            and kept.kind = challengers.kind
            and kept.horizon_days = challengers.horizon_days
    )
    union all by name
    select * from kept
)

select * from final

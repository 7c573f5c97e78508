-- Champion per bucket, fold and horizon: the highest selection score on rows matured before the
-- fold. In the live fold a challenger replaces the champion only if its loss is not higher.
with
challengers as (
    select * from {{ ref('int_tournament__challengers') }}
),

promotions as (
    select bucket, 'live' as fold_type, horizon_days, champion, challenger, reason
    from {{ ref('int_tournament__promotions') }}
    where not is_promoted
),

criteria as (
    select * from {{ ref('int_tournament__criteria') }}
),

kept_champions as (
    select
        challengers.* replace (
            promotions.champion as family,
            promotions.challenger as runner_up,
            criteria.selection_score - challengers.selection_score as margin,
            criteria.selection_score as selection_score,
            criteria.n_rows as n_rows,
            criteria.pinball_skill as pinball_skill,
            criteria.coverage_80 as coverage_80,
            criteria.regime as regime,
            criteria.regime_weight as regime_weight
        ),
        promotions.reason
    from challengers
    inner join promotions
        using (bucket, fold_type, horizon_days)
    inner join criteria
        on criteria.bucket = challengers.bucket
        and criteria.fold_id = challengers.fold_id
        and criteria.horizon_days = challengers.horizon_days
        and criteria.family = promotions.champion
)

select *, null::varchar as reason
from challengers
anti join kept_champions
    using (bucket, fold_id, horizon_days)
union all by name
select * from kept_champions

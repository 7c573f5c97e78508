-- Decides whether the family with the highest selection score in the live fold replaces the
-- champion: only if its loss is not higher on the out-of-fold rows that both forecast. The champion
-- is that of the previous live fold, else of the newest fold of the history. One row per bucket and
-- horizon.
with
challengers as (
    select * from {{ ref('int_tournament__challengers') }}
),

criteria as (
    select * from {{ ref('int_tournament__criteria') }}
    where fold_type = 'live'
),

forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
),

matured_forecasts as (
    select * from forecasts
    where fold_type = 'oof' and status = 'ok' and is_matured
),

evidence as (
    {{ evidence_since() }}
),

ledger as (
    -- if a setting changed within a fold, the family of its last day
    select bucket, horizon_days, fold_start, arg_max(family, as_of_date) as family
    from {{ source('state_forecasts', 'bucket_forecast_ledger') }}
    where data_source = (select any_value(data_source) from forecasts) and not is_hindsight
    group by bucket, horizon_days, fold_start
),

live as (
    select * from challengers
    where fold_type = 'live'
),

champion_history as (
    select bucket, horizon_days, fold_start, family, true as was_live from ledger
    union all
    select bucket, horizon_days, fold_start, family, false as was_live from challengers
    where fold_type = 'oof'
),

champions as (
    select live.bucket, live.horizon_days, champion_history.family
    from live
    inner join champion_history
        on champion_history.bucket = live.bucket
        and champion_history.horizon_days = live.horizon_days
        and (
            champion_history.fold_start < live.fold_start
            or (champion_history.fold_start = live.fold_start and not champion_history.was_live)
        )
    qualify row_number() over (
        partition by live.bucket, live.horizon_days
        order by champion_history.was_live desc, champion_history.fold_start desc
    ) = 1
),

comparisons as (
    select
        live.bucket,
        live.horizon_days,
        count(*) as n_common_rows,
        avg(champion.pinball_pct) as champion_pinball_pct,
        avg(challenger.pinball_pct) as challenger_pinball_pct
    from live
    inner join champions
        using (bucket, horizon_days)
    left join evidence
        using (bucket, horizon_days)
    inner join matured_forecasts as champion
        on champion.bucket = live.bucket
        and champion.horizon_days = live.horizon_days
        and champion.family = champions.family
        and champion.fold_start < live.fold_start
        and champion.target_date < live.trained_until
        and (evidence.evidence_from is null or champion.target_date >= evidence.evidence_from)
    inner join matured_forecasts as challenger
        on challenger.bucket = champion.bucket
        and challenger.horizon_days = champion.horizon_days
        and challenger.family = live.family
        and challenger.fold_id = champion.fold_id
        and challenger.as_of_date = champion.as_of_date
    group by live.bucket, live.horizon_days
),

decisions as (
    select
        live.*,
        champions.family as champion,
        comparisons.n_common_rows,
        comparisons.champion_pinball_pct,
        comparisons.challenger_pinball_pct,
        coalesce(own.has_forecasts and own.is_within_limits, false) as champion_competes,
        champions.family = live.family
        or not champion_competes
        or comparisons.n_common_rows is null
        or comparisons.challenger_pinball_pct <= comparisons.champion_pinball_pct as is_promoted
    from live
    left join champions
        using (bucket, horizon_days)
    left join comparisons
        using (bucket, horizon_days)
    left join criteria as own
        on own.bucket = live.bucket
        and own.horizon_days = live.horizon_days
        and own.family = champions.family
),

final as (
    select
        bucket,
        horizon_days,
        fold_start,
        trained_until,
        coalesce(champion, family) as champion,
        family as challenger,
        coalesce(n_common_rows, 0) as n_common_rows,
        champion_pinball_pct,
        challenger_pinball_pct,
        coalesce(is_promoted, true) as is_promoted,
        case
            when champion is null then 'champion_first'
            when champion = family then 'champion_best'
            when n_common_rows is null then 'champion_not_compared'
            when not champion_competes then 'champion_unavailable'
            when is_promoted then 'champion_replaced'
            else 'champion_kept'
        end as reason_code,
        {{ reason_text(
            ['reason_code'],
            numbers={
                'n_common_rows': 'n_common_rows', 'champion_loss': 'champion_pinball_pct',
                'challenger_loss': 'challenger_pinball_pct'
            },
            texts={'champion': 'champion', 'challenger': 'family'}
        ) }} as reason
    from decisions
)

select * from final

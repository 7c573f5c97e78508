-- Family with the highest selection score per fold and horizon, on rows matured before the fold,
-- among families that forecast the fold within the time limits. In the live fold it still has to
-- replace the champion (int_tournament__promotions). In the first fold nothing has matured, so the
-- bucket's first candidate in seeds/buckets.csv is chosen.
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

-- the first candidate, or the reference if the candidate has no forecasts
folds as (
    select
        bucket,
        fold_id,
        fold_type,
        fold_start,
        trained_until,
        horizon_days,
        coalesce(
            any_value(forecasts.family) filter (
                where forecasts.family = split_part(buckets.candidates, ' ', 1)
                and forecasts.status = 'ok'
            ),
            'reference'
        ) as first_candidate
    from forecasts
    inner join buckets
        using (bucket)
    group by bucket, fold_id, fold_type, fold_start, trained_until, horizon_days
),

ranked_families as (
    select
        *,
        lead(family) over by_selection_score as runner_up,
        selection_score - lead(selection_score) over by_selection_score as margin
    from criteria
    -- a champion is a single family; the consensus, which the ensemble reads, is ranked beside it
    where is_within_limits and has_forecasts and family <> 'consensus'
    window by_selection_score as (
        partition by bucket, fold_id, horizon_days order by selection_score desc, family asc
    )
    qualify row_number() over by_selection_score = 1
),

final as (
    select
        folds.* exclude (first_candidate),
        -- a live fold without evidence can only follow a degradation with no matured rows since
        coalesce(
            ranked_families.family,
            case folds.fold_type when 'live' then 'reference' else folds.first_candidate end
        ) as family,
        ranked_families.runner_up,
        ranked_families.margin,
        ranked_families.selection_score,
        coalesce(ranked_families.n_rows, 0) as n_rows,
        ranked_families.pinball_skill,
        ranked_families.coverage_80,
        ranked_families.regime,
        ranked_families.regime_weight
    from folds
    left join ranked_families
        using (bucket, fold_id, horizon_days)
)

select * from final

-- Every forecast of every ensemble method, out of fold and live, with target, scores and the reference of the same row.
with
forecasts as (
    select * from {{ ref('ensemble_zl') }}
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

reference as (
    select kind, fold_start, as_of_date, horizon_days, q10, q50, q90, pinball_pct
    from {{ ref('int_ensemble__inputs') }}
    where input = 'reference'
),

joined as (
    select
        forecasts.* replace (
            forecasts.as_of_date::date as as_of_date,
            forecasts.fold_start::date as fold_start,
            forecasts.trained_until::date as trained_until,
            nullif(forecasts.reason, '') as reason
        ),
        targets.horizon_code,
        targets.target_date,
        targets.last_price,
        targets.sigma,
        targets.scale,
        targets.is_matured,
        targets.realised_price,
        targets.z,
        targets.data_source
    from forecasts
    inner join targets
        on targets.as_of_date = forecasts.as_of_date
        and targets.horizon_days = forecasts.horizon_days
),

scored as (
    select *, {{ row_scores() }}
    from joined
),

final as (
    select
        scored.*,
        reference.q10 as reference_q10,
        reference.q50 as reference_q50,
        reference.q90 as reference_q90,
        reference.pinball_pct as reference_pinball_pct,
        dense_rank() over (partition by scored.kind order by scored.fold_start) as block_number
    from scored
    inner join reference
        on reference.kind = scored.kind
        and reference.fold_start = scored.fold_start
        and reference.as_of_date = scored.as_of_date
        and reference.horizon_days = scored.horizon_days
)

select * from final

-- Every forecast of every ensemble method, out of fold and live, with target, scores and the reference of the same row.
with
forecasts as (
    select * from {{ ref('ensemble_zl') }}
),

reference as (
    select kind, fold_start, as_of_date, horizon_days, q10, q50, q90, pinball_pct
    from {{ ref('int_ensemble__inputs') }}
    where input = 'reference'
),

{{ scored_forecasts() }},

final as (
    select
        scored.*,
        case when scored.is_matured then scored.z between scored.q25 and scored.q75 end as is_inside_50,
        case when scored.is_matured then scored.z between scored.q05 and scored.q95 end as is_inside_90,
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

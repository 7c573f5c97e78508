-- The honest out-of-sample history of the published line: families and method were chosen, and everything was fitted, on targets
-- that had matured before the block of the row. Rows whose target lies ahead have no realised price yet.
with
published as (
    select * from {{ ref('int_ensemble__published') }}
    where kind = 'oof'
),

final as (
    select
        as_of_date,
        horizon_days,
        horizon_code,
        target_date,
        fold_start,
        trained_until,
        ensemble_method,
        last_price,
        p05, p10, p25, p50, p75, p90, p95,
        reference_p10,
        reference_p50,
        reference_p90,
        realised_price,
        case when is_matured then {{ price_pinball('p10', 'p50', 'p90') }} end as pinball_cents,
        case when is_matured then {{ price_pinball('reference_p10', 'reference_p50', 'reference_p90') }} end as reference_pinball_cents,
        pinball_pct,
        reference_pinball_pct,
        is_inside_80,
        case when is_matured then realised_price between p05 and p95 end as is_inside_90,
        data_source
    from published
)

select * from final

-- Out-of-sample history of the published forecast: selection and fitting used only targets matured
-- before the row's fold. Unmatured rows have no realised price.
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
    pinball_cents,
    reference_pinball_cents,
    pinball_pct,
    reference_pinball_pct,
    is_inside_80,
    is_inside_90,
    data_source
from {{ ref('int_ensemble__published') }}
where fold_type = 'oof'

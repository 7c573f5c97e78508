-- The forecasts of the method that stood chosen in each block, in scaled units, as that method made them; today's are the reference's where
-- the calibration of that line has failed (int_ensemble__fallbacks). The history is of the methods: it says when they have recovered.
-- The history begins with the third block: one to fit on, one to choose on.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select * from {{ ref('int_ensemble__choices') }}
),

fallbacks as (
    select * from {{ ref('int_ensemble__fallbacks') }}
    where is_fallback
),

standing as (
    select
        choices.kind,
        choices.fold_start,
        choices.horizon_days,
        case when fallbacks.is_fallback then 'reference_alone' else choices.ensemble_method end as ensemble_method,
        fallbacks.reason as fallback_reason
    from choices
    left join fallbacks
        on choices.kind = 'live'
        and fallbacks.horizon_days = choices.horizon_days
),

final as (
    select
        forecasts.as_of_date,
        forecasts.horizon_days,
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.kind,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.ensemble_method,
        standing.fallback_reason,
        forecasts.last_price,
        forecasts.scale,
        forecasts.q05,
        forecasts.q10,
        forecasts.q25,
        forecasts.q50,
        forecasts.q75,
        forecasts.q90,
        forecasts.q95,
        forecasts.z,
        forecasts.is_matured,
        forecasts.realised_price,
        forecasts.reference_q10,
        forecasts.reference_q50,
        forecasts.reference_q90,
        forecasts.reference_pinball_pct,
        forecasts.share,
        forecasts.inputs,
        forecasts.fingerprint,
        forecasts.data_source
    from forecasts
    inner join standing
        on standing.kind = forecasts.kind
        and standing.fold_start = forecasts.fold_start
        and standing.horizon_days = forecasts.horizon_days
        and standing.ensemble_method = forecasts.ensemble_method
    where forecasts.kind = 'live' or forecasts.block_number >= 3
)

select * from final

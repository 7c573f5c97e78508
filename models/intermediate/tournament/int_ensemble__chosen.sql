-- Forecasts of the method selected for each fold, in units of z_return. Today's are the reference's
-- if calibration has failed (int_ensemble__fallbacks); the history keeps the methods' own
-- forecasts, which show when they have recovered. It begins with the third fold: one fold to fit
-- on, one to select on.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select fold_id, fold_type, horizon_days, ensemble_method from {{ ref('int_ensemble__choices') }}
),

fallbacks as (
    select 'live' as fold_type, horizon_days, 'reference_alone' as ensemble_method, reason
    from {{ ref('int_ensemble__fallbacks') }}
    where is_fallback
),

selected_methods as (
    select
        choices.* replace (
            coalesce(fallbacks.ensemble_method, choices.ensemble_method) as ensemble_method
        ),
        fallbacks.reason as fallback_reason
    from choices
    left join fallbacks
        using (fold_type, horizon_days)
),

final as (
    select
        forecasts.as_of_date,
        forecasts.horizon_days,
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.fold_id,
        forecasts.fold_type,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.ensemble_method,
        selected_methods.fallback_reason,
        forecasts.last_price,
        forecasts.horizon_volatility,
        forecasts.q05,
        forecasts.q10,
        forecasts.q25,
        forecasts.q50,
        forecasts.q75,
        forecasts.q90,
        forecasts.q95,
        forecasts.z_return,
        forecasts.is_matured,
        forecasts.realised_price,
        forecasts.reference_q10,
        forecasts.reference_q50,
        forecasts.reference_q90,
        forecasts.reference_pinball_pct,
        forecasts.shrinkage_weight,
        forecasts.inputs,
        forecasts.artifact_id,
        forecasts.data_source
    from forecasts
    inner join selected_methods
        using (fold_id, fold_type, horizon_days, ensemble_method)
    where
        forecasts.fold_type = 'live'
        or forecasts.fold_number >= {{ threshold('first_published_fold') }}
)

select * from final

-- Raw criteria of every ensemble method in every fold of the history. One row per method, horizon
-- and fold.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
    where fold_type = 'oof'
),

choices as (
    select fold_id, horizon_days, ensemble_method as chosen_method
    from {{ ref('int_ensemble__choices') }}
),

final as (
    select
        forecasts.ensemble_method,
        horizon_days,
        forecasts.horizon_code,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.ensemble_method = any_value(choices.chosen_method)
        and any_value(forecasts.fold_number)
        >= {{ threshold('first_published_fold') }} as is_published,
        any_value(forecasts.status) as status,
        any_value(forecasts.reason) as reason,
        {{ forecast_criteria('forecasts') }},
        avg(forecasts.is_inside_50::int) as coverage_50,
        avg(forecasts.is_inside_90::int) as coverage_90,
        avg(forecasts.reference_pinball_pct) as reference_pinball_pct,
        any_value(forecasts.shrinkage_weight) as shrinkage_weight,
        any_value(forecasts.weights order by forecasts.as_of_date desc) as weights,
        any_value(forecasts.inputs) as inputs,
        any_value(forecasts.data_source) as data_source
    from forecasts
    left join choices
        using (fold_id, horizon_days)
    group by
        forecasts.ensemble_method,
        horizon_days,
        forecasts.horizon_code,
        forecasts.fold_start,
        forecasts.trained_until
)

select * from final

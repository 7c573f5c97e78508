-- Weights of the inputs of each ensemble method at each month's last session and on the newest day.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
    where status = 'ok' and weights <> '{}'
),

month_ends as (
    select *
    from forecasts
    qualify
        as_of_date
        = max(as_of_date)
            over (
                partition by
                    ensemble_method, fold_type, horizon_days, date_trunc('month', as_of_date)
            )
),

weights as (
    select
        month_ends.* exclude (weights),
        entry.key as input,
        entry.value::double as weight
    from month_ends, json_each(month_ends.weights) as entry
),

final as (
    select
        ensemble_method,
        horizon_days::integer as horizon_days,
        horizon_code,
        fold_type,
        as_of_date,
        fold_start,
        input,
        weight,
        shrinkage_weight,
        -- after shrinkage; the reference also gets the remaining weight
        case input
            when 'reference' then shrinkage_weight * weight + 1 - shrinkage_weight
            else shrinkage_weight * weight
        end as effective_weight,
        data_source
    from weights
)

select * from final

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

-- a method has the weights of the average too, because it is shrunk towards it
average_weights as (
    select horizon_days, fold_type, as_of_date, input, weight as average_weight
    from weights
    where ensemble_method = 'average'
),

all_weights as (
    select *, 0 as average_weight from weights
    union all by name
    select methods.*, average_weights.input, 0 as weight, average_weights.average_weight
    from (select distinct * exclude (input, weight) from weights) as methods
    inner join average_weights
        using (horizon_days, fold_type, as_of_date)
),

summed_weights as (
    select
        * exclude (weight, average_weight),
        sum(weight) as weight,
        sum(average_weight) as average_weight
    from all_weights
    group by all
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
        shrinkage_weight * weight + (1 - shrinkage_weight) * average_weight as effective_weight,
        data_source
    from summed_weights
)

select * from final

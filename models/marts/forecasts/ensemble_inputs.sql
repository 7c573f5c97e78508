-- Forecasts of the inputs as the ensemble methods read them, in cents/lb: their medians are shrunk
-- towards the last price. One row per input, fold type, session and horizon.
with
inputs as (
    select * from {{ ref('int_ensemble__inputs') }}
),

targets as (
    select as_of_date, horizon_days, last_price from {{ ref('int_targets__daily') }}
),

final as (
    select
        inputs.input,
        inputs.family,
        inputs.members,
        inputs.fold_type,
        inputs.as_of_date,
        inputs.horizon_days::integer as horizon_days,
        inputs.horizon_code,
        inputs.target_date,
        inputs.fold_start,
        inputs.trained_until,
        targets.last_price,
        {% for level in ['10', '50', '90'] -%}
        targets.last_price * exp(inputs.q{{ level }} * inputs.horizon_volatility) as p{{ level }},
        {% endfor -%}
        targets.last_price * exp(inputs.raw_q50 * inputs.horizon_volatility) as raw_p50,
        inputs.median_weight,
        coalesce(
            abs(inputs.median_weight * inputs.raw_q50) > inputs.max_median_shift, false
        ) as is_limited,
        inputs.novelty,
        inputs.novelty_weight,
        inputs.pinball_pct,
        inputs.is_inside_80,
        inputs.data_source
    from inputs
    inner join targets
        using (as_of_date, horizon_days)
)

select * from final

-- Forecasts of every family in every bucket, out of fold and live, in cents/lb; is_winner marks the
-- bucket's champion.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
),

choices as (
    select bucket, fold_id, horizon_days, family from {{ ref('int_tournament__choices') }}
),

final as (
    select
        forecasts.bucket,
        forecasts.family,
        forecasts.fold_type,
        forecasts.as_of_date,
        forecasts.horizon_days,
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.fold_start,
        forecasts.trained_until,
        coalesce(
            forecasts.family = choices.family,
            forecasts.bucket = 'core' and forecasts.family <> 'reference'
        ) as is_winner,
        forecasts.last_price,
        {% for level in ['10', '50', '90'] -%}
        forecasts.last_price
        * exp(forecasts.q{{ level }} * forecasts.horizon_volatility) as p{{ level }},
        {% endfor -%}
        forecasts.realised_price,
        forecasts.pinball_pct,
        forecasts.is_inside_80,
        forecasts.status,
        forecasts.reason,
        forecasts.data_source
    from forecasts
    left join choices
        on choices.bucket = forecasts.bucket
        and choices.fold_id = forecasts.fold_id
        and choices.horizon_days = forecasts.horizon_days
)

select * from final

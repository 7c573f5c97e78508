-- The forecasts of the method that stood chosen in each block, in cents/lb: exact transforms of the return quantiles.
-- The history begins with the third block: one to fit on, one to choose on.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select * from {{ ref('int_ensemble__choices') }}
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
        forecasts.last_price,
        {% for level in ['05', '10', '25', '50', '75', '90', '95'] -%}
        forecasts.last_price * exp(forecasts.q{{ level }} * forecasts.scale) as p{{ level }},
        {% endfor -%}
        {% for level in ['10', '50', '90'] -%}
        forecasts.last_price * exp(forecasts.reference_q{{ level }} * forecasts.scale) as reference_p{{ level }},
        {% endfor -%}
        forecasts.prob_up,
        forecasts.realised_price,
        forecasts.is_matured,
        forecasts.pinball_pct,
        forecasts.reference_pinball_pct,
        forecasts.is_inside_80,
        forecasts.share,
        forecasts.widening,
        forecasts.inputs,
        forecasts.fingerprint,
        forecasts.data_source
    from forecasts
    inner join choices
        on choices.kind = forecasts.kind
        and choices.fold_start = forecasts.fold_start
        and choices.horizon_days = forecasts.horizon_days
        and choices.ensemble_method = forecasts.ensemble_method
    where forecasts.kind = 'live' or forecasts.block_number >= 3
)

select * from final

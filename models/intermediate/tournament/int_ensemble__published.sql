-- The forecasts of the method that stood chosen in each block, in cents/lb: exact transforms of the return quantiles.
-- Horizons are coherent: no quantile lies nearer to its median, in log price, than at a shorter horizon. Each horizon has its own
-- method, and by accident of noise one could promise to know more of the farther day.
-- The history begins with the third block: one to fit on, one to choose on.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select * from {{ ref('int_ensemble__choices') }}
),

chosen as (
    select forecasts.*
    from forecasts
    inner join choices
        on choices.kind = forecasts.kind
        and choices.fold_start = forecasts.fold_start
        and choices.horizon_days = forecasts.horizon_days
        and choices.ensemble_method = forecasts.ensemble_method
    where forecasts.kind = 'live' or forecasts.block_number >= 3
),

-- distances from the median, as log returns: the greatest so far, from the shortest horizon on
coherent as (
    select
        * replace (
            {% for level in ['05', '10', '25'] -%}
            q50 - max((q50 - q{{ level }}) * scale) over upto_horizon / scale as q{{ level }},
            {% endfor -%}
            {% for level in ['75', '90', '95'] -%}
            q50 + max((q{{ level }} - q50) * scale) over upto_horizon / scale as q{{ level }}{{ "," if not loop.last }}
            {% endfor -%}
        ),
        greatest(
            max((q50 - q10) * scale) over upto_horizon - (q50 - q10) * scale,
            max((q90 - q50) * scale) over upto_horizon - (q90 - q50) * scale
        ) > 1e-12 as is_widened
    from chosen
    window upto_horizon as (partition by kind, fold_start, as_of_date order by horizon_days)
),

scored as (
    select
        * exclude (pinball_pct, error_pct, is_inside_50, is_inside_80, is_inside_90, width_pct),
        {{ row_scores() }}
    from coherent
),

final as (
    select
        as_of_date,
        horizon_days,
        horizon_code,
        target_date,
        kind,
        fold_start,
        trained_until,
        ensemble_method,
        last_price,
        {% for level in ['05', '10', '25', '50', '75', '90', '95'] -%}
        last_price * exp(q{{ level }} * scale) as p{{ level }},
        {% endfor -%}
        {% for level in ['10', '50', '90'] -%}
        last_price * exp(reference_q{{ level }} * scale) as reference_p{{ level }},
        {% endfor -%}
        prob_up,
        realised_price,
        is_matured,
        pinball_pct,
        reference_pinball_pct,
        is_inside_80,
        share,
        is_widened,
        inputs,
        fingerprint,
        data_source
    from scored
)

select * from final

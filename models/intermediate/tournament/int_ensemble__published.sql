-- Published forecast in cents/lb, scored: return quantiles made coherent across horizons, then
-- transformed exactly.
{% set levels = ['05', '10', '25', '50', '75', '90', '95'] -%}
{% set outer = levels | reject('equalto', '50') | list -%}
with
forecasts as (
    select * from {{ ref('int_ensemble__chosen') }}
),

-- Each horizon has its own method, so noise can make a band narrower, in log price, than at a
-- shorter horizon. Each quantile's distance from its median is therefore raised to the largest up
-- to its horizon; medians stay.
with_reach as (
    select
        *,
        {% for level in outer -%}
        max(abs(q{{ level }} - q50) * horizon_volatility) over up_to_this_horizon
        / horizon_volatility as reach_{{ level }}{{ "," if not loop.last }}
        {% endfor -%}
    from forecasts
    window up_to_this_horizon as (partition by fold_id, as_of_date order by horizon_days)
),

coherent_forecasts as (
    select
        * replace (
            {% for level in outer -%}
            -- a quantile that is not moved keeps its exact value
            case
                when reach_{{ level }} > abs(q{{ level }} - q50) * (1 + 1e-12) then
                    q50 {{ '-' if level < '50' else '+' }} reach_{{ level }}
                else q{{ level }}
            end as q{{ level }}{{ "," if not loop.last }}
            {% endfor -%}
        ),
        {% for level in outer -%}
        reach_{{ level }}
        > abs(q{{ level }} - q50) * (1 + 1e-12){{ " or" if not loop.last else " as is_widened," }}
        {% endfor -%}
    from with_reach
),

price_forecasts as (
    select
        *,
        {{ row_scores(bands=[80, 90]) }},
        1
        - probability_below([q{{ levels | join(', q') }}], 0) as prob_up,
        {% for level in levels -%}
        last_price * exp(q{{ level }} * horizon_volatility) as p{{ level }},
        {% endfor -%}
        {% for level in ['10', '50', '90'] -%}
        last_price
        * exp(reference_q{{ level }} * horizon_volatility)
            as reference_p{{ level }}{{ "," if not loop.last }}
        {% endfor -%}
    from coherent_forecasts
),

-- another method, a fallback or another number at one horizon is a new version of all four horizons
versions as (
    select
        fold_id,
        as_of_date,
        md5(string_agg(
            concat_ws(
                '|', horizon_days, artifact_id, ensemble_method, p05, p10, p25, p50, p75, p90, p95,
                case when fallback_reason is not null then 'fallback' end
            ), '|' order by horizon_days
        )) as model_version
    from price_forecasts
    group by fold_id, as_of_date
),

final as (
    select
        as_of_date,
        horizon_days,
        horizon_code,
        target_date,
        fold_type,
        fold_start,
        trained_until,
        ensemble_method,
        fallback_reason,
        last_price,
        p05, p10, p25, p50, p75, p90, p95,
        reference_p10,
        reference_p50,
        reference_p90,
        prob_up,
        realised_price,
        is_matured,
        case when is_matured then {{ pinball('realised_price', 'p10', 'p50', 'p90') }} end
            as pinball_cents,
        case when is_matured
            then {{ pinball('realised_price', 'reference_p10', 'reference_p50', 'reference_p90') }}
        end as reference_pinball_cents,
        pinball_pct,
        reference_pinball_pct,
        is_inside_80,
        is_inside_90,
        shrinkage_weight,
        is_widened,
        inputs,
        artifact_id,
        model_version,
        data_source
    from price_forecasts
    inner join versions
        using (fold_id, as_of_date)
)

select * from final

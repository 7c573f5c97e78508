-- The published line in cents/lb: exact transforms of the coherent return quantiles, scored.
with
coherent as (
    select
        * replace (
            as_of_date::date as as_of_date,
            target_date::date as target_date,
            fold_start::date as fold_start,
            trained_until::date as trained_until,
            fallback_reason::varchar as fallback_reason  -- an integer where pandas held nothing but nulls
        )
    from {{ ref('coherent_zl') }}
),

priced as (
    select
        *,
        {{ row_scores(bands=[80, 90]) }},
        {% for quantile in ['05', '10', '25', '50', '75', '90', '95'] -%}
        last_price * exp(q{{ quantile }} * scale) as p{{ quantile }},
        {% endfor -%}
        {% for quantile in ['10', '50', '90'] -%}
        last_price * exp(reference_q{{ quantile }} * scale) as reference_p{{ quantile }}{{ "," if not loop.last }}
        {% endfor -%}
    from coherent
),

-- what the forecast of a day is: another choice of methods, a fallback, or another number at one horizon, is another version of all four
versions as (
    select
        fold_id,
        as_of_date,
        md5(string_agg(
            concat_ws(
                '|', horizon_days, fingerprint, ensemble_method, p05, p10, p25, p50, p75, p90, p95,
                case when fallback_reason is not null then 'fallback' end
            ), '|' order by horizon_days
        )) as model_version
    from priced
    group by fold_id, as_of_date
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
        fallback_reason,
        last_price,
        p05, p10, p25, p50, p75, p90, p95,
        reference_p10,
        reference_p50,
        reference_p90,
        prob_up,
        realised_price,
        is_matured,
        case when is_matured then {{ pinball('realised_price', 'p10', 'p50', 'p90') }} end as pinball_cents,
        case when is_matured
            then {{ pinball('realised_price', 'reference_p10', 'reference_p50', 'reference_p90') }}
        end as reference_pinball_cents,
        pinball_pct,
        reference_pinball_pct,
        is_inside_80,
        is_inside_90,
        share,
        is_widened,
        inputs,
        fingerprint,
        model_version,
        data_source
    from priced
    inner join versions
        using (fold_id, as_of_date)
)

select * from final

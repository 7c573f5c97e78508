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

scored as (
    select *, {{ row_scores() }}
    from coherent
),

priced as (
    select
        *,
        {% for level in ['05', '10', '25', '50', '75', '90', '95'] -%}
        last_price * exp(q{{ level }} * scale) as p{{ level }},
        {% endfor -%}
        {% for level in ['10', '50', '90'] -%}
        last_price * exp(reference_q{{ level }} * scale) as reference_p{{ level }}{{ "," if not loop.last }}
        {% endfor -%}
    from scored
),

-- what the forecast of a day is: another choice of methods, a fallback, or another number at one horizon, is another version of all four
versions as (
    select
        kind,
        fold_start,
        as_of_date,
        md5(string_agg(
            concat_ws(
                '|', horizon_days, fingerprint, ensemble_method, p05, p10, p25, p50, p75, p90, p95,
                case when fallback_reason is not null then 'fallback' end
            ), '|' order by horizon_days
        )) as model_version
    from priced
    group by kind, fold_start, as_of_date
),

final as (
    select
        priced.as_of_date,
        priced.horizon_days,
        priced.horizon_code,
        priced.target_date,
        priced.kind,
        priced.fold_start,
        priced.trained_until,
        priced.ensemble_method,
        priced.fallback_reason,
        priced.last_price,
        priced.p05, priced.p10, priced.p25, priced.p50, priced.p75, priced.p90, priced.p95,
        priced.reference_p10,
        priced.reference_p50,
        priced.reference_p90,
        priced.prob_up,
        priced.realised_price,
        priced.is_matured,
        priced.pinball_pct,
        priced.reference_pinball_pct,
        priced.is_inside_80,
        priced.share,
        priced.is_widened,
        priced.inputs,
        priced.fingerprint,
        versions.model_version,
        priced.data_source
    from priced
    inner join versions
        on versions.kind = priced.kind
        and versions.fold_start = priced.fold_start
        and versions.as_of_date = priced.as_of_date
)

select * from final

-- Position of each outcome among its forecast quantiles, the source of all calibration tables. A
-- subject is an ensemble method, on its own out-of-fold rows, or the published forecast. One row
-- per subject, horizon and as_of_date.
with
methods as (
    select
        ensemble_method as subject,
        as_of_date, horizon_days, horizon_code, target_date,
        q05, q10, q25, q50, q75, q90, q95,
        z_return as outcome,
        width_pct as width_80_pct,
        pinball_pct,
        reference_pinball_pct,
        data_source
    from {{ ref('int_ensemble__forecasts') }}
    where fold_type = 'oof' and is_matured and status = 'ok'
),

-- in cents/lb, as published; the order among the quantiles is the same in either unit
published_forecasts as (
    select
        'published' as subject,
        as_of_date, horizon_days, horizon_code, target_date,
        p05 as q05, p10 as q10, p25 as q25, p50 as q50, p75 as q75, p90 as q90, p95 as q95,
        realised_price as outcome,
        100 * ln(p90 / p10) as width_80_pct,
        pinball_pct,
        reference_pinball_pct,
        data_source
    from {{ ref('int_ensemble__published') }}
    where fold_type = 'oof' and is_matured
),

subjects as (
    select * from methods
    union all
    select * from published_forecasts
),

regimes as (
    select * from {{ ref('int_regimes__daily') }}
),

final as (
    select
        ---------- key
        subjects.subject,
        subjects.horizon_days,
        subjects.as_of_date,

        ---------- when
        subjects.horizon_code,
        subjects.target_date,
        regimes.regime,
        regimes.is_after_break,

        ---------- where the outcome fell: an outcome equal to a quantile is at or below it
        1
        {%- for level in ['05', '10', '25', '50', '75', '90', '95'] %}
            + (subjects.outcome > subjects.q{{ level }})::integer
        {%- endfor %} as outcome_bin,
        subjects.outcome between subjects.q25 and subjects.q75 as is_inside_50,
        subjects.outcome between subjects.q10 and subjects.q90 as is_inside_80,
        subjects.outcome between subjects.q05 and subjects.q95 as is_inside_90,

        ---------- scores
        subjects.pinball_pct,
        subjects.reference_pinball_pct,
        subjects.width_80_pct,
        subjects.data_source
    from subjects
    left join regimes
        on regimes.as_of_date = subjects.as_of_date
)

select * from final

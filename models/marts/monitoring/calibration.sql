-- Calibration in slices of the history: by year, by quarter (coverage over time), in each regime,
-- after breaks. One row per subject, horizon, slice_type and slice.
with
outcomes as (
    select * from {{ ref('int_ensemble__outcomes') }}
),

slices as (
    select 'all' as slice_type, 'all' as slice, * from outcomes
    union all
    select 'year' as slice_type, year(as_of_date)::varchar as slice, * from outcomes
    union all
    select
        'quarter' as slice_type, format('{}-Q{}', year(as_of_date), quarter(as_of_date)) as slice, *
    from outcomes
    union all
    select 'regime' as slice_type, regime as slice, * from outcomes
    union all
    select
        'break' as slice_type,
        case when is_after_break then 'after_break' else 'otherwise' end as slice,
        *
    from outcomes
),

final as (
    select
        ---------- key
        subject,
        horizon_days,
        horizon_code,
        slice_type,
        slice,

        ---------- evidence
        min(as_of_date) as first_as_of_date,
        count(*) as n_rows,
        count(*) / horizon_days as n_independent,

        ---------- coverage: edges included
        avg(is_inside_50::integer) as coverage_50,
        avg(is_inside_80::integer) as coverage_80,
        avg(is_inside_90::integer) as coverage_90,

        ---------- reliability: at or below each quantile
        {% for level in ['05', '10', '25', '50', '75', '90', '95'] -%}
        avg((outcome_bin <= {{ loop.index }})::integer) as below_{{ level }},
        {% endfor %}
        ---------- score and sharpness
        avg(pinball_pct) as pinball_pct,
        avg(reference_pinball_pct) as reference_pinball_pct,
        1 - avg(pinball_pct) / nullif(avg(reference_pinball_pct), 0) as pinball_skill,
        avg(width_80_pct) as width_80_pct,
        any_value(data_source) as data_source
    from slices
    group by subject, horizon_days, horizon_code, slice_type, slice
)

select * from final

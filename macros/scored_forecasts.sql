{#
  CTE `scored_forecasts` over a CTE `forecasts` from a Python model: joins each forecast to its
  target and to the reference of the same fold, session and horizon, and scores both. `competitor`
  is the column with the competitor, `reference` the name of the reference in it, `by` further key
  columns of a fold.
#}
{% macro scored_forecasts(competitor, reference, by=[]) -%}
{%- set levels = ['05', '10', '25', '50', '75', '90', '95'] -%}
{%- set key = (by + ['fold_id', 'as_of_date', 'horizon_days']) | join(', ') -%}
targets as (
    select
        as_of_date, horizon_days, horizon_code, target_date, last_price, ewma_volatility,
        horizon_volatility, is_matured, realised_price, z_return, data_source
    from {{ ref('int_targets__daily') }}
),

dated_forecasts as (
    select
        * replace (
            as_of_date::date as as_of_date,
            fold_start::date as fold_start,
            trained_until::date as trained_until,
            nullif(reason, '') as reason
        ),
        {{ fold_id() }} as fold_id
    from forecasts
),

reference as (
    select
        {{ key }},
        {% for level in levels -%}
        q{{ level }} as reference_q{{ level }}{{ "," if not loop.last }}
        {% endfor %}
    from dated_forecasts
    where {{ competitor }} = '{{ reference }}'
),

forecasts_with_targets as (
    select *
    from dated_forecasts
    inner join targets
        using (as_of_date, horizon_days)
    left join reference
        using ({{ key }})
),

scored_forecasts as (
    select
        * exclude (reference_q05, reference_q25, reference_q75, reference_q95),
        {{ row_scores(bands=[50, 80, 90]) }},
        {{ row_scores('reference_', bands=[50, 80, 90]) }}
    from forecasts_with_targets
)
{%- endmacro %}

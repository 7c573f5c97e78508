{#
  What became of forecasts: the CTEs targets, joined and scored, over a CTE `forecasts` in scaled units as a Python model left it.
  `scored` has its columns (dates as dates, an empty reason as null), those of the target, and the row's scores.
#}
{% macro scored_forecasts() -%}
targets as (
    select * from {{ ref('int_targets__daily') }}
),

joined as (
    select
        forecasts.* replace (
            forecasts.as_of_date::date as as_of_date,
            forecasts.fold_start::date as fold_start,
            forecasts.trained_until::date as trained_until,
            nullif(forecasts.reason, '') as reason
        ),
        targets.horizon_code,
        targets.target_date,
        targets.last_price,
        targets.sigma,
        targets.scale,
        targets.is_matured,
        targets.realised_price,
        targets.z,
        targets.data_source
    from forecasts
    inner join targets
        on targets.as_of_date = forecasts.as_of_date
        and targets.horizon_days = forecasts.horizon_days
),

scored as (
    select *, {{ row_scores() }}
    from joined
)
{%- endmacro %}

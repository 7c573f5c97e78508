{#
  CTE `available_competitors`: which competitors forecast the session of the choice, over a CTE
  `forecasts`. In the history a choice is made before the fold's first session, so only that session
  counts and a later failure does not. In the live fold it is made daily, so the newest session
  counts. `competitor` and `by` as in scored_forecasts.
#}
{% macro available_competitors(competitor, by=[]) -%}
{%- set fold = (by + ['fold_id', 'horizon_days']) | join(', ') -%}
available_competitors as (
    select {{ fold }}, {{ competitor }}, true as has_forecasts
    from forecasts
    where status = 'ok'
        and ({{ fold }}, as_of_date) in (
            select
                {{ fold }},
                if(any_value(fold_type) = 'live', max(as_of_date), min(as_of_date))
            from forecasts
            group by {{ fold }}
        )
)
{%- endmacro %}

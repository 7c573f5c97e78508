{#
  The CTE `available_competitors`: who forecasts where a choice is made, over a CTE `forecasts`. A choice for a fold of the history is made
  before its first session and knows that session's forecasts at most: who fails later was chosen all the same. The live fold's
  choice is made anew every day, for the newest session. `competitor` and `by` as in scored_forecasts.
#}
{% macro competing_at_the_choice(competitor, by=[]) -%}
{%- set fold = (by + ['fold_id', 'horizon_days']) | join(', ') -%}
available_competitors as (
    select {{ fold }}, {{ competitor }}, true as has_forecasts
    from forecasts
    window fold as (partition by {{ fold }})
    qualify status = 'ok'
        and as_of_date = case fold_type when 'live' then max(as_of_date) over fold else min(as_of_date) over fold end
)
{%- endmacro %}

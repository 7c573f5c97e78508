{#
  Window of the last `sessions` rows up to the current one. All windows end at the current row, so
  nothing looks ahead.
#}
{% macro trailing(sessions) -%}
    over (order by as_of_date rows between {{ sessions - 1 }} preceding and current row)
{%- endmacro %}

{# The value `sessions` rows ago. #}
{% macro ago(expression, sessions) -%}
    lag({{ expression }}, {{ sessions }}) over (order by as_of_date)
{%- endmacro %}

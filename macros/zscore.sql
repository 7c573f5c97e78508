{#
  Distance from the trailing mean in trailing standard deviations; null until half the window is
  filled.
#}
{% macro zscore(expression, sessions) -%}
    case when count({{ expression }}) {{ trailing(sessions) }} >= {{ sessions // 2 }}
        then ({{ expression }} - avg({{ expression }}) {{ trailing(sessions) }})
            / nullif(stddev_samp({{ expression }}) {{ trailing(sessions) }}, 0)
    end
{%- endmacro %}

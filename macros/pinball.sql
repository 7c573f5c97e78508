{#
  Mean pinball loss of the 10, 50 and 90 % quantiles, in the unit of `outcome`. The only definition
  in SQL.
#}
{% macro pinball(outcome, p10, p50, p90) -%}
    (
    {%- for level, quantile in [(0.1, p10), (0.5, p50), (0.9, p90)] %}
        {{ "+ " if not loop.first -}}
        greatest(
            {{ level }} * ({{ outcome }} - {{ quantile }}),
            ({{ level }} - 1) * ({{ outcome }} - {{ quantile }})
        )
    {%- endfor %}
    ) / 3
{%- endmacro %}

{#
  Schemas have the same names (forecasts, monitoring ...) in every target, since BI queries name
  them.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}

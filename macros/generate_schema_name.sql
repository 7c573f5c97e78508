{# Schemas are named for what they hold (forecasts, monitoring ...), in every target, since BI tools name them in queries. #}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {{ (custom_schema_name or target.schema) | trim }}
{%- endmacro %}

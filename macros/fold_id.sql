{# Name of a fold, such as oof_2020-01-01; the only place that builds it. SQL joins by it. #}
{% macro fold_id() -%}
    fold_type || '_' || fold_start::date
{%- endmacro %}

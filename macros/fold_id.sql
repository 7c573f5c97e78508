{# Name of a fold, such as oof_2020-01-01: what SQL joins by. The one place where it is made. #}
{% macro fold_id() -%}
    fold_type || '_' || fold_start::date
{%- endmacro %}

{# A number of seeds/thresholds.csv, as a scalar subquery: so that a unit test can give another one. #}
{% macro threshold(name) -%}
    (select value from {{ ref('thresholds') }} where name = '{{ name }}')
{%- endmacro %}

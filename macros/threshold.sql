{# A number of seeds/thresholds.csv as a scalar subquery, so that a unit test can replace it. #}
{% macro threshold(name) -%}
    (select value from {{ ref('thresholds') }} where name = '{{ name }}')
{%- endmacro %}

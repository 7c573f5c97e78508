{#
  Query with one row per session and one column per macro series, as known at the cut-off; null if
  the newest value is older than its max_age_days.
#}
{% macro series_wide(series_ids) -%}
    select
        as_of_date,
        {% for series_id in series_ids -%}
        max(value) filter (where series_id = '{{ series_id }}') as {{ series_id | lower }},
        {% endfor -%}
        max(available_on) filter (where series_id in ('{{ series_ids | join("', '") }}'))
            as latest_series_on
    from {{ ref('int_series__asof') }}
    group by as_of_date
{%- endmacro %}

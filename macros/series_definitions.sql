{#
  Query with one row per session: how many changes of definition the newest known observations of
  some series have passed. Between two sessions with equal numbers no definition has changed.
#}
{% macro series_definitions(series_ids) -%}
    select
        observations.as_of_date,
        count(breaks.obs_date) as n_definitions
    from {{ ref('int_series__asof') }} as observations
    left join {{ ref('series_breaks') }} as breaks
        on breaks.series_id = observations.series_id
        and breaks.obs_date <= observations.obs_date
    where observations.series_id in ('{{ series_ids | join("', '") }}')
    group by observations.as_of_date
{%- endmacro %}

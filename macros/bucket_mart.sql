{#
  Last CTEs of every bucket mart: the key, the base block, then the bucket's own features. Expects a
  CTE `features` with one row per session: as_of_date, the features, latest_input_on.
#}
{% macro bucket_mart() -%}
base as (
    select * exclude (latest_bar_on) from {{ ref('int_base__daily') }}
),

final as (
    select
        base.*,
        features.* exclude (as_of_date)
    from base
    inner join features
        on features.as_of_date = base.as_of_date
)

select * from final
{%- endmacro %}

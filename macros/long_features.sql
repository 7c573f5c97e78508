{#
  Query of all buckets' features in long form: bucket, as_of_date, feature, feature_value. Keeps
  nulls, so that windows count sessions.
#}
{% macro long_features() -%}
    {% for bucket in var('buckets') -%}
    select '{{ bucket }}' as bucket, as_of_date, feature, feature_value
    from (
        select as_of_date, columns(* exclude (as_of_date, latest_input_on))::double
        from {{ ref('mart_' ~ bucket ~ '__daily') }}
    )
    unpivot include nulls (feature_value for feature in (columns(* exclude (as_of_date))))
    {{ "union all" if not loop.last }}
    {% endfor %}
{%- endmacro %}

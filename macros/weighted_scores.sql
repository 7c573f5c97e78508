{#
  Query with one row per `key`: weighted_score (sum of the criteria of a CTE times their weights in
  the CTE `weights`) and n_rows.
#}
{% macro weighted_scores(rows, key, criteria) -%}
    select
        {{ key | join(', ') }},
        any_value(n_rows) as n_rows,
        sum(weights.weight * long.value) as weighted_score
    from (
        unpivot (select {{ (key + ['n_rows'] + criteria) | join(', ') }} from {{ rows }})
        on {{ criteria | join(', ') }}
        into name criterion value value
    ) as long
    inner join weights
        using (criterion)
    group by {{ key | join(', ') }}
{%- endmacro %}

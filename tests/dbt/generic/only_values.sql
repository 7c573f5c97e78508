{#
  Columns that hold null or one of the listed values: one test instead of one `accepted_values` per
  column. Fails with the other values.
#}
{% test only_values(model, values) %}

{% for column, allowed in values.items() -%}
select '{{ column }}' as column_name, {{ column }}::varchar as value, count(*) as n_rows
from {{ model }}
where {{ column }}::varchar not in ('{{ allowed | join("', '") }}')
group by {{ column }}
{{ "union all" if not loop.last }}
{% endfor %}

{% endtest %}

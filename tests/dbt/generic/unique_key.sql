{#
  Key of several columns: unique, without nulls. `complete` are other columns without nulls, in the
  same test, because each test has a fixed cost: a failing row counts their values beside the rows.
#}
{% test unique_key(model, columns, complete=[]) %}

select
    {{ columns | join(', ') }}, count(*) as n_rows
    {%- for column in complete %}, count({{ column }}) as n_{{ column }}{% endfor %}
from {{ model }}
group by {{ columns | join(', ') }}
having count(*) > 1 or {{ columns | join(' is null or ') }} is null
    {%- for column in complete %} or count({{ column }}) < count(*){% endfor %}

{% endtest %}

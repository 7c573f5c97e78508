{#
  Single-column key: unique and not null, in one test instead of two, because each test has a fixed
  cost.
#}
{% test key(model, column_name) %}

select {{ column_name }}, count(*) as n_rows
from {{ model }}
group by {{ column_name }}
having count(*) > 1 or {{ column_name }} is null

{% endtest %}

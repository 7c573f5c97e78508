{# A key of one column: neither null nor twice the same. One test where `unique` and `not_null` are two: each costs a build its overhead. #}
{% test key(model, column_name) %}

select {{ column_name }}, count(*) as n_rows
from {{ model }}
group by {{ column_name }}
having count(*) > 1 or {{ column_name }} is null

{% endtest %}

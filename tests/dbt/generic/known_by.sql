{# Look-ahead guard: no value of the date column lies after the row's own date. #}
{% test known_by(model, column_name, as_of) %}

select {{ as_of }}, {{ column_name }}
from {{ model }}
where {{ column_name }} > {{ as_of }}

{% endtest %}

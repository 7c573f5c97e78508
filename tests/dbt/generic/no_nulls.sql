{# Columns that hold a value in every row: one test where `not_null` would be one per column. #}
{% test no_nulls(model, columns) %}

select {{ columns | join(', ') }}
from {{ model }}
where {{ columns | join(' is null or ') }} is null

{% endtest %}

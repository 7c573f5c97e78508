{# The same as `unique_key` for a key of one column. #}
{% test key(model, column_name, complete=[]) %}
{{ test_unique_key(model, [column_name], complete) }}
{% endtest %}

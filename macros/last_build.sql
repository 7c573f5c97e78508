{#
  A table as the last build left it, read without `ref`: the plan rests on health, and health on what the plan led to, which in one
  build would be a circle. None where there is no such table yet, or one of an older version without these columns.
#}
{% macro last_build(schema, name, columns) -%}
    {%- set relation = adapter.get_relation(target.database, schema, name) if execute else none -%}
    {%- set found = adapter.get_columns_in_relation(relation) | map(attribute='name') | list if relation else [] -%}
    {{ return(relation if relation and not columns | reject('in', found) | list else none) }}
{%- endmacro %}

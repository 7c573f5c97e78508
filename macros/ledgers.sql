{#
  The ledger relations. For pre-hooks of the models that write them; models use a source or a ref.
#}
{% macro ledgers() -%}
{%- set found = [] -%}
{%- for name in ['zl_forecast_ledger', 'bucket_forecast_ledger'] -%}
    {%- do found.append(
        api.Relation.create(database='state', schema='forecasts', identifier=name)
    ) -%}
{%- endfor -%}
{{ return(found) }}
{%- endmacro %}

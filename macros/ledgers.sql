{#
  The ledgers that hold forecasts, as they stand: they ask for themselves, so not by `ref`. From the
  adapter's cache, without a statement that would begin a transaction: after its pre-hook a Python
  model writes on a connection of its own.
#}
{% macro ledgers() -%}
{%- set found = [] -%}
{%- if execute -%}
    {%- for name in ['zl_forecast_ledger', 'bucket_forecast_ledger'] -%}
        {%- set ledger = adapter.get_relation(target.database, 'forecasts', name) -%}
        {%- if ledger -%}{%- do found.append(ledger) -%}{%- endif -%}
    {%- endfor -%}
{%- endif -%}
{{ return(found) }}
{%- endmacro %}

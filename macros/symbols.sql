{#
  Instruments that marts may read, in exchange units. If one is missing (other than ZL), only its
  features are lost.
#}
{% macro symbols() -%}
    {{ return(['zl', 'zs', 'zm', 'zc', 'zw', 'cl', 'bz', 'ho', 'rb', 'ng', 'hg', 'gc', 'he',
               '6l', '6m', '6c', '6a', '6e', '6b', '6j', 'zn', 'zt', 'zf', 'zq', 'es']) }}
{%- endmacro %}

{# CBOT grains close with ZL at 13:20 Chicago; the other instruments trade on. #}
{% macro cbot_symbols() -%}
    {{ return(['zl', 'zs', 'zm', 'zc', 'zw']) }}
{%- endmacro %}

{# Symbols that start with a digit (6L) need a letter in a column name. #}
{% macro symbol_column(symbol) -%}
    {{ return(('fx_' ~ symbol) if symbol[0] in '0123456789' else symbol) }}
{%- endmacro %}

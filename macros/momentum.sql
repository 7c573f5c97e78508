{#
  Log return over `sessions` in units of its own volatility: (index now - index then) / (sd of
  one-session returns over 63 sessions * sqrt(sessions)). `log_index` is a roll-adjusted log price
  index of int_prices__wide.
#}
{% macro momentum(symbol, sessions) -%}
    ({{ symbol }}_log_index - {{ ago(symbol ~ '_log_index', sessions) }})
        / nullif(stddev_samp({{ symbol }}_log_return) {{ trailing(63) }} * sqrt({{ sessions }}), 0)
{%- endmacro %}

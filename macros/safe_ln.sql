{#
  Natural logarithm of a positive, finite number; null of any other. DuckDB's ln() stops the whole build at zero or below,
  and an infinity stops every deviation over it: one bad price of an optional input must cost its features only.
#}
{% macro safe_ln(x) -%}
    case when {{ x }} > 0 and isfinite({{ x }}) then ln({{ x }}) end
{%- endmacro %}

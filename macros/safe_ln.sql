{#
  Natural logarithm of a positive, finite number, else null. DuckDB's ln() fails the build at zero
  or below, and an infinity fails every deviation over it; one bad price of an optional input must
  only cost its own features.
#}
{% macro safe_ln(x) -%}
    case when {{ x }} > 0 and isfinite({{ x }}) then ln({{ x }}) end
{%- endmacro %}

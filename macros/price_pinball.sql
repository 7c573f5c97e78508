{# Mean pinball loss of three price quantiles (10, 50, 90 %) against realised_price, cents/lb. #}
{% macro price_pinball(p10, p50, p90) -%}
    (
        greatest(0.1 * (realised_price - {{ p10 }}), (0.1 - 1) * (realised_price - {{ p10 }}))
        + greatest(0.5 * (realised_price - {{ p50 }}), (0.5 - 1) * (realised_price - {{ p50 }}))
        + greatest(0.9 * (realised_price - {{ p90 }}), (0.9 - 1) * (realised_price - {{ p90 }}))
    ) / 3
{%- endmacro %}

{#
  Scores of one forecast row (q10, q50, q90 ... in units of z_return, with `prefix` before them)
  against its target, in percent of price (log return x 100); null until matured. `bands` are the
  central bands whose hits are reported.
#}
{% macro row_scores(prefix='', bands=[80]) -%}
    {%- set q = prefix ~ 'q' -%}
    {%- set edges = {50: ('25', '75'), 80: ('10', '90'), 90: ('05', '95')} -%}
    case when is_matured
        then 100 * horizon_volatility * {{ pinball('z_return', q ~ '10', q ~ '50', q ~ '90') }}
    end as {{ prefix }}pinball_pct,
    case when is_matured
        then 100 * horizon_volatility * (z_return - {{ q }}50)
    end as {{ prefix }}error_pct,
    {% for band in bands -%}
    case when is_matured then z_return between {{ q ~ edges[band][0] }} and {{ q ~ edges[band][1] }}
    end as {{ prefix }}is_inside_{{ band }},
    {% endfor -%}
    100 * horizon_volatility * ({{ q }}90 - {{ q }}10) as {{ prefix }}width_pct
{%- endmacro %}

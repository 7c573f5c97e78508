{#
  The raw criteria of a set of scored forecasts, with what they mean said once: pinball and RMSE in percent of price
  (log return x 100), coverage as a share, seconds. `rows` is the alias of the forecasts.
#}
{% macro forecast_criteria(rows) -%}
    count({{ rows }}.pinball_pct) as n_rows,
    avg({{ rows }}.pinball_pct) as pinball_pct,
    sqrt(avg(pow({{ rows }}.error_pct, 2))) as rmse_pct,
    avg({{ rows }}.is_inside_80::int) as coverage_80,
    avg({{ rows }}.width_pct) as width_80_pct,
    avg({{ rows }}.fit_seconds) as fit_seconds,
    avg({{ rows }}.score_seconds) as score_seconds
{%- endmacro %}

{# Scores of one forecast row (q05 ... q95 in scaled units) against its target; null until the target has matured. #}
{% macro row_scores() -%}
    case when is_matured then 100 * scale * (
        greatest(0.1 * (z - q10), (0.1 - 1) * (z - q10))
        + greatest(0.5 * (z - q50), (0.5 - 1) * (z - q50))
        + greatest(0.9 * (z - q90), (0.9 - 1) * (z - q90))
    ) / 3 end as pinball_pct,
    case when is_matured then 100 * scale * (z - q50) end as error_pct,
    case when is_matured then z between q10 and q90 end as is_inside_80,
    100 * scale * (q90 - q10) as width_pct
{%- endmacro %}

{#
  Raw criteria of a set of scored forecasts: pinball and RMSE in percent of price (log return x
  100), coverage as a fraction, times in seconds. `rows` is the alias of the forecasts.
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

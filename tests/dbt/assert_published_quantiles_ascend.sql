-- No published row has crossing quantiles, a price at or below zero, or a target date that is not
-- ahead. Fails with the rows.
{% for table in ['zl_forecast', 'zl_backtest'] -%}
select '{{ table }}' as table_name, as_of_date, horizon_days, p05, p10, p25, p50, p75, p90, p95
from {{ ref(table) }}
where
    not (
        0 < p05
        and p05 <= p10
        and p10 <= p25
        and p25 <= p50
        and p50 <= p75
        and p75 <= p90
        and p90 <= p95
    )
    or target_date <= as_of_date
{{ "union all" if not loop.last }}
{% endfor %}

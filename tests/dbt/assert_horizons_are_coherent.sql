-- No published quantile lies nearer to its median, in log price, than at a shorter horizon of the
-- same day. Fails with the rows.
{% for table in ['zl_forecast', 'zl_backtest'] %}
select *
from (
    select
        '{{ table }}' as table_name,
        as_of_date,
        horizon_days,
        {% for level in ['05', '10', '25', '75', '90', '95'] -%}
        abs(ln(p{{ level }} / p50))
        - lag(abs(ln(p{{ level }} / p50)))
            over by_horizon
            as growth_{{ level }}{{ "," if not loop.last }}
        {% endfor -%}
    from {{ ref(table) }}
    window
        by_horizon as (
            partition by as_of_date{{ ", fold_start" if table == 'zl_backtest' }}
            order by horizon_days
        )
)
where least(growth_05, growth_10, growth_25, growth_75, growth_90, growth_95) < -1e-9
{{ "union all" if not loop.last }}
{% endfor %}

{#
  A query for the newest session of this market that the data folder has ever seen: in the data of this build, or in a ledger, whose rows
  outlive the landing files. One row, newest_seen_on. The ledgers are read as they stand, without `ref`: they ask for it themselves.
#}
{% macro newest_seen(targets) -%}
select max(as_of_date) as newest_seen_on
from (
    select as_of_date from {{ targets }}
    {%- for name in ['zl_forecast_ledger', 'bucket_forecast_ledger'] %}
    {%- set ledger = last_build('forecasts', name, ['as_of_date', 'data_source']) %}
    {%- if ledger %}
    union all
    select as_of_date from {{ ledger }}
    where data_source = (select any_value(data_source) from {{ targets }})
    {%- endif %}
    {%- endfor %}
)
{%- endmacro %}

{#
  Query for newest_seen_on, the newest session of this market that the data folder has seen: in this
  build's data, or in a ledger, which outlives landing files. One row.
#}
{% macro newest_seen(targets, ledgers) -%}
select max(as_of_date) as newest_seen_on
from (
    select as_of_date from {{ targets }}
    {%- for ledger in ledgers %}
    union all
    select as_of_date from {{ ledger }}
    where data_source = (select any_value(data_source) from {{ targets }})
    {%- endfor %}
)
{%- endmacro %}

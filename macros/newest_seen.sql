{#
  A query for the newest session of this market that the data folder has ever seen: in the data of
  this build, or in a ledger, whose rows outlive the landing files. One row, newest_seen_on.
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

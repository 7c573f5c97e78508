{#
  How far the data of this build lie behind what the data folder has seen of this market: one row of
  data_source, newest_session, newest_seen_on, is_earlier (null without any session) and n_lost
  (sessions by the exchange calendar); none before there is a table. For pre-hooks: it begins no
  transaction, since after them a Python model writes on a connection of its own.
#}
{% macro lost_sessions() -%}
{%- if not execute -%}{{ return(none) }}{%- endif -%}
{%- set database = target.database -%}
{%- set targets = adapter.get_relation(database, 'intermediate', 'int_targets__daily') -%}
{%- set exchange = adapter.get_relation(database, 'intermediate', 'int_calendar__exchange') -%}
{%- if not targets -%}{{ return(none) }}{%- endif -%}
{%- set query -%}
with
data as (
    select max(as_of_date) as newest_session, any_value(data_source) as data_source
    from {{ targets }}
),

newest_sessions as (
    {{ newest_seen(targets, ledgers()) }}
)

select
    data.data_source,
    data.newest_session,
    newest_sessions.newest_seen_on,
    data.newest_session < newest_sessions.newest_seen_on as is_earlier,
    (
        select count(*) from {{ exchange }}
        where session_date::date > data.newest_session
            and session_date::date <= newest_sessions.newest_seen_on
    ) as n_lost
from data
cross join newest_sessions
{%- endset -%}
{{ return(run_query(query).rows[0]) }}
{%- endmacro %}

{#
  How far this build's data lie behind the newest session of this market that the data folder has
  seen. One row with data_source, newest_session, newest_seen_on, is_earlier (null without any
  session) and n_lost (sessions by the exchange calendar); none before the tables exist. For
  pre-hooks: it begins no transaction, because a Python model then writes on its own connection.
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

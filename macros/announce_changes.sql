{# A pre-hook that says in the build's output where it departs from what this data folder held: another market, or an earlier day. #}
{% macro announce_changes() -%}
{%- set lost = lost_sessions() -%}
{%- if lost and lost['newest_session'] < lost['newest_seen_on'] -%}
    {{ log(
        "This build goes back to " ~ lost['newest_session'] ~ ", " ~ lost['n_lost'] ~ " session(s) before " ~ lost['newest_seen_on']
        ~ ", as var allow_earlier_as_of allows: its forecast replaces the published one, and its rows in the ledgers are marked is_hindsight.", info=true
    ) }}
{%- endif -%}
{%- set ledger = adapter.get_relation(target.database, 'forecasts', 'zl_forecast_ledger') if lost else none -%}
{%- if ledger -%}
    {%- set query -%}
    select data_source, count(*) as n_forecasts, max(as_of_date) as newest_as_of
    from {{ ledger }}
    where '{{ lost["data_source"] }}' not in (select data_source from {{ ledger }})
    group by data_source
    {%- endset -%}
    {%- for other in run_query(query).rows -%}
        {{ log(
            "Until now this data folder held " ~ ("a simulated market" if other['data_source'] == 'simulated' else "a real market") ~ ": its "
            ~ other['n_forecasts'] ~ " forecasts, up to " ~ other['newest_as_of'] ~ ", stay in the ledger as data_source = '" ~ other['data_source']
            ~ "', apart. Plan, accuracy and health begin anew with data_source = '" ~ lost['data_source'] ~ "'.", info=true
        ) }}
    {%- endfor -%}
{%- endif -%}
{%- endmacro %}

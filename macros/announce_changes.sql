{#
  Pre-hook that logs if this build forecasts another market than before or goes back to an earlier
  day.
#}
{% macro announce_changes() -%}
{%- set lost = lost_sessions() -%}
{%- if lost and lost['is_earlier'] -%}
    {{ log(
        "This build goes back to " ~ lost['newest_session'] ~ ", " ~ lost['n_lost'] ~ " session(s)"
        ~ " before " ~ lost['newest_seen_on'] ~ " (var allow_earlier_as_of): its forecast"
        ~ " replaces the published one, and its new rows in the ledgers are marked is_hindsight.",
        info=true
    ) }}
{%- endif -%}
{%- set has_data = lost and lost['data_source'] -%}
{%- for ledger in ledgers() if has_data and ledger.identifier == 'zl_forecast_ledger' -%}
    {%- set query -%}
    select data_source, count(*) as n_forecasts, max(as_of_date) as newest_as_of
    from {{ ledger }}
    where '{{ lost["data_source"] }}' not in (select data_source from {{ ledger }})
    group by data_source
    {%- endset -%}
    {%- for other in run_query(query).rows -%}
        {%- set kind = 'simulated' if other['data_source'] == 'simulated' else 'real' -%}
        {{ log(
            "Until now this data folder held a " ~ kind ~ " market: its " ~ other['n_forecasts']
            ~ " forecasts, up to " ~ other['newest_as_of'] ~ ", stay in the ledger as"
            ~ " data_source = '" ~ other['data_source'] ~ "'. Plan, accuracy and health restart"
            ~ " with data_source = '" ~ lost['data_source'] ~ "'.",
            info=true
        ) }}
    {%- endfor -%}
{%- endfor -%}
{%- endmacro %}

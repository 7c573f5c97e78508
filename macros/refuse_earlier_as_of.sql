{#
  Pre-hook that stops a build whose data end before the newest forecast of this data folder. On
  int_gate__zl it runs before all training; on the ledgers and the snapshot --select cannot bypass
  it.
#}
{% macro refuse_earlier_as_of() -%}
{%- set is_allowed = var('allow_earlier_as_of') is sameas true -%}
{%- set lost = none if is_allowed else lost_sessions() -%}
{%- if lost and lost['is_earlier'] -%}
    {%- set n_lost, allow = lost['n_lost'], "--vars 'allow_earlier_as_of: true'" -%}
    {{ exceptions.raise_compiler_error(
        "the data end on " ~ lost['newest_session'] ~ ", but forecasts as of "
        ~ lost['newest_seen_on'] ~ " have been made in this data folder (" ~ lost['data_source']
        ~ "): " ~ n_lost ~ (" session is" if n_lost == 1 else " sessions are") ~ " lost. Nothing"
        ~ " was trained or published. Bring the newest landing files back; if these are other data,"
        ~ " give them a data folder of their own (ZL_DATA_DIR). To go back on purpose: make build"
        ~ " DBT_FLAGS=\"" ~ allow ~ "\" (or dbt build " ~ allow ~ "); the ledger keeps its rows,"
        ~ " and what is made then is marked is_hindsight."
    ) }}
{%- endif -%}
{%- endmacro %}

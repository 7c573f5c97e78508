-- One row per ZL session with every instrument's last close and roll-adjusted log index as known at
-- the cut-off. With var non_cbot_lag_sessions = 1 the instruments that trade after ZL's close are
-- used one session later.
{%- set lag_sessions = var('non_cbot_lag_sessions') %}
with
sessions as (
    select
        session_date as as_of_date,
        session_number,
        lag(session_date, {{ lag_sessions }}) over (order by session_date) as late_date
    from {{ ref('int_calendar__sessions') }}
    where not is_future
),

prices as (
    select * from {{ ref('int_prices__daily') }}
),

wanted_prices as (
    select
        sessions.as_of_date,
        symbols.symbol,
        case when symbols.symbol in ('{{ cbot_symbols() | join("', '") }}')
            then sessions.as_of_date else sessions.late_date end as known_on
    from sessions
    cross join (select unnest(['{{ symbols() | join("', '") }}']) as symbol) as symbols
    where known_on is not null  -- DuckDB's asof join may match null with the newest row
),

known_prices as (
    select
        wanted_prices.as_of_date,
        wanted_prices.symbol,
        prices.as_of_date as bar_date,
        prices.close,
        prices.log_index
    from wanted_prices
    asof left join prices
        on wanted_prices.symbol = prices.symbol and wanted_prices.known_on >= prices.as_of_date
),

fresh_prices as (
    select * from known_prices
    where as_of_date - bar_date <= {{ threshold('max_stale_days') }}
),

wide_prices as (
    select
        as_of_date,
        {% for symbol in symbols() -%}
        max(close) filter (where symbol = '{{ symbol }}') as {{ symbol_column(symbol) }}_close,
        max(log_index) filter (where symbol = '{{ symbol }}')
            as {{ symbol_column(symbol) }}_log_index,
        {% endfor -%}
        max(bar_date) as latest_bar_on
    from fresh_prices
    group by as_of_date
),

final as (
    select
        *,
        {% for symbol in symbols() -%}
        {{ symbol_column(symbol) }}_log_index - {{ ago(symbol_column(symbol) ~ '_log_index', 1) }}
            as {{ symbol_column(symbol) }}_log_return
        {{- "," if not loop.last }}
        {% endfor %}
    from wide_prices
)

select * from final

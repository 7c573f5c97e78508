{#
  Decaying effect of one bucket's policy events: per session the sum of severities, each halved
  every `half_life` days since it became known. One sorted list of events serves all sessions: the
  last digit of a sum depends on its order, and a list per session takes eight times as long.
#}
{% macro event_memory(bucket, half_lives) -%}
    select
        as_of_date,
        {% for half_life in half_lives -%}
        coalesce(list_sum(list_transform(
            events,
            lambda event: event.severity
            * pow(0.5, (as_of_date - event.available_on) / {{ half_life }}.0)
        )), 0) as memory_{{ half_life }},
        {% endfor -%}
        least(coalesce(as_of_date - list_last(events).available_on, 365), 365)
            as days_since_event,
        coalesce(list_last(events).available_on, as_of_date) as latest_event_on
    from (
        select
            sessions.session_date as as_of_date,
            list_filter(
                known.events, lambda event: event.available_on <= sessions.session_date
            ) as events
        from {{ ref('int_calendar__sessions') }} as sessions
        cross join (
            select list(
                struct_pack(available_on, severity) order by available_on, event_date, title
            ) as events
            from {{ ref('stg_landing__policy_events') }}
            where bucket = '{{ bucket }}'
        ) as known
        where not sessions.is_future
    )
{%- endmacro %}

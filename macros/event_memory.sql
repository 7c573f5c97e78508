{#
  Decaying effect of one bucket's policy events: per session the sum of severities, each halved
  every `half_life` days since it became known. Summed in a fixed order, because the last digit of a
  plain sum() depends on the order of rows.
#}
{% macro event_memory(bucket, half_lives) -%}
    select
        sessions.session_date as as_of_date,
        {% for half_life in half_lives -%}
        coalesce(list_sum(list(
            events.severity
            * pow(0.5, (sessions.session_date - events.available_on) / {{ half_life }}.0)
            order by events.available_on, events.event_date, events.title
        )), 0) as memory_{{ half_life }},
        {% endfor -%}
        least(coalesce(min(sessions.session_date - events.available_on), 365), 365)
            as days_since_event,
        coalesce(max(events.available_on), min(sessions.session_date)) as latest_event_on
    from {{ ref('int_calendar__sessions') }} as sessions
    left join {{ ref('stg_landing__policy_events') }} as events
        on events.bucket = '{{ bucket }}' and events.available_on <= sessions.session_date
    where not sessions.is_future
    group by sessions.session_date
{%- endmacro %}

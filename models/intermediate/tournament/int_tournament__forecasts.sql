-- Scored forecasts of every family in every bucket and of the core, out of fold and live, with the
-- reference of the same row. A family that failed on a fold has rows with status and reason,
-- without quantiles.
with
tournaments as (
    select * from {{ ref('int_core__forecasts') }}
    {% for bucket in var('buckets') -%}
    union all by name
    select * from {{ ref('specialist_' ~ bucket) }}
    {% endfor %}
),

forecasts as (
    select subject as bucket, competitor as family, * exclude (subject, competitor)
    from tournaments
),

{{ scored_forecasts('family', reference='reference', by=['bucket']) }}

select * from scored_forecasts

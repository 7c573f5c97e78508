-- Every forecast of every family in every bucket and of the core, out of fold and live, with its target and its scores.
-- A family that failed on a block is here with its status and reason, and without quantiles.
with
forecasts as (
    select * from {{ ref('core_zl') }}
    {% for bucket in var('buckets') -%}
    union all by name
    select * from {{ ref('specialist_' ~ bucket) }}
    {% endfor %}
),

{{ scored_forecasts() }}

select * from scored

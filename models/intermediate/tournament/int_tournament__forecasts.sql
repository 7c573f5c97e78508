-- Scored forecasts of every family in every bucket and of the core, out of fold and live, with the
-- reference of the same row, and each bucket's consensus: the mean of its members' quantiles, level
-- by level. A family that failed on a fold has rows with status and reason, without quantiles; it
-- is left out of the consensus and named in its reason.
{%- set fold = 'bucket, fold_type, fold_start, trained_until' %}
{%- set row = fold ~ ', as_of_date, horizon_days' %}
with
tournaments as (
    select * from {{ ref('int_core__forecasts') }}
    {% for bucket in var('buckets') -%}
    union all by name
    select * from {{ ref('specialist_' ~ bucket) }}
    {% endfor %}
),

family_forecasts as (
    select subject as bucket, competitor as family, * exclude (subject, competitor)
    from tournaments
),

competing_families as (
    select distinct {{ fold }}, family, in_consensus
    from family_forecasts
    left join {{ ref('families') }}
        using (family)
    where bucket <> 'core' and family <> 'reference'
),

-- where no family of the seed's consensus competes, all families but the reference are members
member_families as (
    select {{ fold }}, family
    from competing_families
    qualify in_consensus
        or not coalesce(bool_or(in_consensus) over (partition by {{ fold }}), false)
),

members as (
    select family_forecasts.*, status = 'ok' as has_forecast
    from family_forecasts
    inner join member_families
        using ({{ fold }}, family)
),

consensus as (
    select
        {{ row }},
        'consensus' as family,
        -- decimals, because the last digits of a sum of doubles depend on its order; a failed row
        -- may hold what is no decimal
        {% for level in ['05', '10', '25', '50', '75', '90', '95'] -%}
        avg(case when has_forecast then q{{ level }}::decimal(38, 15) end) as q{{ level }},
        {% endfor -%}
        max(train_rows) as train_rows,
        -- members are trained side by side
        max(fit_seconds) as fit_seconds,
        max(score_seconds) as score_seconds,
        case
            when bool_or(has_forecast) then 'ok'
            when bool_or(status <> 'skipped') then 'failed'
            else 'skipped'
        end as status,
        string_agg(family || ' ' || status || ': ' || reason, '; ' order by family)
            filter (where not has_forecast) as reason,
        md5(string_agg(artifact_id, ' ' order by family) filter (where has_forecast))
            as artifact_id,
        string_agg(family, ' ' order by family) filter (where has_forecast) as members
    from members
    group by {{ row }}
),

forecasts as (
    select * from family_forecasts
    union all by name
    select * from consensus
),

{{ scored_forecasts('family', reference='reference', by=['bucket']) }}

select * from scored_forecasts

-- From when on each bucket's models in force forecast: the last re-tournament, or a new one that starts now. One row a bucket.
{% set tournament = var('tournament') %}
{% if tournament not in ['auto', 'always', 'never'] %}
    {{ exceptions.raise_compiler_error("var tournament is '" ~ tournament ~ "'. Use auto, always or never.") }}
{% endif %}
with
newest as (
    select
        max(as_of_date) as newest_session,
        date_trunc('month', max(as_of_date))::date as month_start,
        any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
),

gates as (
    {% for bucket in var('buckets') -%}
    select * from {{ ref('gate_' ~ bucket) }}
    {{ "union all by name" if not loop.last }}
    {% endfor %}
),

buckets as (
    select
        bucket,
        string_agg(
            concat_ws(' ', column_name, details), '; '
            -- what is wrong with an input comes before the features that show it
            order by column_name <> 'gate_quarantined_symbols', column_name, details
        ) filter (where not is_success and severity = 'critical') as refused_by_gate
    from gates
    group by bucket
),

run_history as (
    select * from {{ source('state_monitoring', 'run_history') }}
),

ledger as (
    select * from {{ source('state_forecasts', 'bucket_forecast_ledger') }}
),

begun as (
    {% if tournament == 'never' -%}
    -- what was planned may not have been held: without training only what has forecast can go on
    select bucket, fold_start as live_from, data_source from ledger
    {%- else -%}
    select bucket, live_from, data_source from run_history
    {%- endif %}
),

history as (
    select bucket, max(live_from) as live_from
    from begun
    -- another market's history says nothing, nor does one that lies ahead of these data
    where data_source = (select data_source from newest)
        and live_from <= (select newest_session from newest)
    group by bucket
),

degraded as (
    select
        bucket,
        string_agg(horizon_code || ' since ' || state_since, ', ' order by horizon_days) as horizons
    from {{ ref('int_plan__degraded') }}
    group by bucket
),

final as (
    select
        buckets.bucket,
        newest.newest_session,
        newest.data_source,
        buckets.refused_by_gate,
        history.live_from as held_on,
        case
            {% if tournament == 'always' -%}
            when true then 'forced'
            {%- endif %}
            when history.live_from is null then 'first_run'
            {% if tournament != 'never' -%}
            when degraded.horizons is not null then 'degraded'
            when newest.month_start > history.live_from then 'new_month'
            -- models are trained until some ten days before they forecast
            when newest.newest_session > history.live_from + {{ var('model_expiry_days') - 14 }} then 'expired'
            {%- endif %}
        end as trigger,
        case trigger
            when 'forced' then 'var tournament is always'
            when 'first_run' then 'no tournament of this bucket has been held on these data'
            when 'degraded' then 'degraded at ' || degraded.horizons
            when 'expired' then 'the models of ' || history.live_from || ' are about to expire'
            when 'new_month' then 'the last tournament was that of ' || history.live_from
        end as why,
        case
            when trigger in ('forced', 'degraded', 'expired') then newest.newest_session
            when trigger in ('first_run', 'new_month') then newest.month_start
            else history.live_from
        end as live_from
    from buckets
    cross join newest
    left join history
        on history.bucket = buckets.bucket
    left join degraded
        on degraded.bucket = buckets.bucket
)

select * from final

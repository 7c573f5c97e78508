-- Start of each bucket's live fold: the last reselection, or a new one that starts now. One row per
-- bucket.
{% set tournament = var('tournament') %}
{% if tournament not in ['auto', 'always', 'never'] %}
    {{ exceptions.raise_compiler_error(
        "var tournament is '" ~ tournament ~ "'. Use auto, always or never."
    ) }}
{% endif %}
with
newest as (
    select
        max(as_of_date) as newest_session,
        date_trunc('month', max(as_of_date))::date as month_start,
        any_value(data_source) as data_source
    from {{ ref('int_targets__daily') }}
),

buckets as (
    select unnest({{ var('buckets') }}) as bucket
),

run_history as (
    select * from {{ source('state_monitoring', 'run_history') }}
),

ledger as (
    select * from {{ source('state_forecasts', 'bucket_forecast_ledger') }}
),

live_folds as (
    {% if tournament == 'never' -%}
    -- a planned reselection may not have run; without training only folds with forecasts can
    -- continue
    select bucket, fold_start as live_from, data_source from ledger
    {%- else -%}
    select bucket, live_from, data_source from run_history
    {%- endif %}
),

history as (
    select bucket, max(live_from) as live_from
    from live_folds
    -- ignore history of another market or after the newest session
    where data_source = (select data_source from newest)
        and live_from <= (select newest_session from newest)
    group by bucket
),

degraded_buckets as (
    select
        bucket,
        string_agg(horizon_code || ' since ' || state_since, ', ' order by horizon_days) as horizons
    from {{ ref('int_plan__degraded') }}
    group by bucket
),

bucket_facts as (
    select
        buckets.bucket,
        newest.newest_session,
        newest.month_start,
        newest.data_source,
        history.live_from as reselected_on,
        degraded_buckets.horizons as degraded_horizons,
        -- training data end about ten days before the first forecast
        newest.newest_session
        > history.live_from
        + {{ threshold('model_expiry_days') }}::integer
        - 14 as is_about_to_expire
    from buckets
    cross join newest
    left join history
        on history.bucket = buckets.bucket
    left join degraded_buckets
        on degraded_buckets.bucket = buckets.bucket
),

final as (
    select
        bucket,
        newest_session,
        data_source,
        reselected_on,
        degraded_horizons,
        case
            {% if tournament == 'always' -%}
            when true then 'forced'
            {%- endif %}
            when reselected_on is null then 'first_run'
            {% if tournament != 'never' -%}
            when degraded_horizons is not null then 'degraded'
            when month_start > reselected_on then 'new_month'
            when is_about_to_expire then 'expired'
            {%- endif %}
        end as trigger,
        case
            when trigger in ('forced', 'degraded', 'expired') then newest_session
            when trigger in ('first_run', 'new_month') then month_start
            else reselected_on
        end as live_from
    from bucket_facts
)

select * from final

-- Every forecast that the champions in force have made for their buckets, append-only: the first one of a day and horizon stays. Sessions
-- between two builds are forecast by the models in force, which had been fitted before; where those were replaced in between, a few
-- sessions are missing, and the history has them. What model_health judges buckets by.
{{ config(materialized='incremental', incremental_strategy='append', full_refresh=false, on_schema_change='append_new_columns') }}
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where kind = 'live' and status = 'ok'
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where kind = 'live'
),

final as (
    select
        ---------- key
        forecasts.as_of_date,
        forecasts.bucket,
        forecasts.horizon_days,
        forecasts.data_source,

        ---------- by which models
        forecasts.family,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.fingerprint as artifact_id,

        ---------- what is forecast
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.last_price,
        forecasts.scale,

        ---------- forecast, in units of scale
        forecasts.q10,
        forecasts.q50,
        forecasts.q90,
        reference.q10 as reference_q10,
        reference.q50 as reference_q50,
        reference.q90 as reference_q90,
        timezone('UTC', now())::timestamp as made_at
    from forecasts
    inner join choices
        on choices.bucket = forecasts.bucket
        and choices.fold_start = forecasts.fold_start
        and choices.horizon_days = forecasts.horizon_days
        and choices.family = forecasts.family
    inner join forecasts as reference
        on reference.bucket = forecasts.bucket
        and reference.family = 'reference'
        and reference.fold_start = forecasts.fold_start
        and reference.as_of_date = forecasts.as_of_date
        and reference.horizon_days = forecasts.horizon_days
)

select * from final
{{ append_once(['as_of_date', 'bucket', 'horizon_days', 'data_source']) }}

-- Every forecast of the buckets' active champions, append-only: the first one per session and
-- horizon is kept. Active models backfill sessions between two builds; sessions skipped because of
-- a reselection are in the backtest, not in this ledger. model_health uses the rows that are not
-- hindsight.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where fold_type = 'live' and status = 'ok'
),

choices as (
    select bucket, fold_id, horizon_days, family from {{ ref('int_tournament__choices') }}
),

newest_sessions as (
    select * from {{ ref('int_calendar__newest_seen') }}
),

-- first session of each active model: a row without hindsight proves that the model was selected
-- and fitted by its as_of_date
active_models as (
    {% if is_incremental() -%}
    select bucket, horizon_days, data_source, family, artifact_id, min(as_of_date) as active_since
    from {{ this }}
    where not is_hindsight
    group by all
    {%- else -%}
    select
        ''::varchar as bucket, 0 as horizon_days, ''::varchar as data_source, ''::varchar as family,
        ''::varchar as artifact_id, null::date as active_since
    where false
    {%- endif %}
),

final as (
    select
        ---------- key
        forecasts.as_of_date,
        forecasts.bucket,
        forecasts.horizon_days,
        forecasts.data_source,

        ---------- models
        forecasts.family,
        forecasts.fold_start,
        forecasts.trained_until,
        forecasts.artifact_id,

        ---------- target
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.last_price,
        forecasts.horizon_volatility,

        ---------- forecast, in units of horizon_volatility
        forecasts.q10,
        forecasts.q50,
        forecasts.q90,
        forecasts.reference_q10,
        forecasts.reference_q50,
        forecasts.reference_q90,

        ---------- when it was made
        -- hindsight if a later session was known, unless the model was active before and the
        -- outcome still lies ahead
        forecasts.as_of_date < newest_sessions.newest_seen_on
        and not coalesce(
            active_models.active_since < forecasts.as_of_date
            and forecasts.target_date > newest_sessions.newest_seen_on,
            false
        ) as is_hindsight,
        timezone('UTC', now())::timestamp as made_at
    from forecasts
    inner join choices
        using (bucket, fold_id, horizon_days, family)
    left join active_models
        on active_models.bucket = forecasts.bucket
        and active_models.horizon_days = forecasts.horizon_days
        and active_models.data_source = forecasts.data_source
        and active_models.family = forecasts.family
        and active_models.artifact_id = forecasts.artifact_id
    cross join newest_sessions
)

select * from final
{{ append_once(['as_of_date', 'bucket', 'horizon_days', 'data_source']) }}

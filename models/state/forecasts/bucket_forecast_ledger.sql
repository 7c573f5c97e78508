-- Every forecast that the champions in force have made for their buckets, append-only: the first one
-- of a day and horizon stays. Sessions between two builds are backfilled by the models in force;
-- where those were replaced in between, a few sessions are missing, and the history has them. What
-- model_health judges buckets by, but for rows made in hindsight.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where kind = 'live' and status = 'ok'
),

choices as (
    select bucket, fold_id, horizon_days, family from {{ ref('int_tournament__choices') }}
),

seen as (
    select * from {{ ref('int_calendar__newest_seen') }}
),

-- since when models have been in force: a row that was no hindsight proves that they had been chosen
-- and fitted by its as_of_date
models_in_force as (
    {% if is_incremental() -%}
    select bucket, horizon_days, data_source, family, artifact_id, min(as_of_date) as in_force_since
    from {{ this }}
    where not is_hindsight
    group by all
    {%- else -%}
    select
        ''::varchar as bucket, 0 as horizon_days, ''::varchar as data_source, ''::varchar as family,
        ''::varchar as artifact_id, null::date as in_force_since
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
        forecasts.reference_q10,
        forecasts.reference_q50,
        forecasts.reference_q90,

        ---------- when it was made
        -- a later session was known; it could not tell on models that had been in force before, whose
        -- outcome still lies ahead
        forecasts.as_of_date < seen.newest_seen_on
        and not coalesce(
            models_in_force.in_force_since < forecasts.as_of_date
            and forecasts.target_date > seen.newest_seen_on,
            false
        ) as is_hindsight,
        timezone('UTC', now())::timestamp as made_at
    from forecasts
    inner join choices
        using (bucket, fold_id, horizon_days, family)
    left join models_in_force
        on models_in_force.bucket = forecasts.bucket
        and models_in_force.horizon_days = forecasts.horizon_days
        and models_in_force.data_source = forecasts.data_source
        and models_in_force.family = forecasts.family
        and models_in_force.artifact_id = forecasts.fingerprint
    cross join seen
)

select * from final
{{ append_once(['as_of_date', 'bucket', 'horizon_days', 'data_source']) }}

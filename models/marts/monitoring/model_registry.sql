-- What the artifact folder holds and what each of it is now: one row per artifact (a competitor of a bucket, of the core or of the
-- ensemble on one fold) and horizon. Only what stands here, with these digests and versions, is loaded.
with
stored as (
    select
        * replace (
            fold_start::date as fold_start,
            trained_until::date as trained_until,
            written_at::timestamptz::timestamp as written_at
        )
    from {{ ref('stored_artifacts') }}
    where bucket is not null
),

used as (
    select distinct fingerprint as artifact_id from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
    union
    select distinct fingerprint from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where kind = 'live'
),

published as (
    select distinct horizon_days, ensemble_method from {{ ref('int_ensemble__chosen') }}
    where kind = 'live'
),

horizons as (
    select * from {{ ref('horizons') }}
),

final as (
    select
        ---------- key
        stored.artifact_id,
        horizons.horizon_days,

        ---------- what it is
        horizons.horizon_code,
        stored.bucket,
        stored.family,
        stored.kind,
        stored.fold_start,
        stored.trained_until - 1 as trained_through,

        ---------- what it is now
        case
            when used.artifact_id is null then 'retired'
            when stored.kind = 'oof' then 'evidence'
            when stored.family = choices.family or (stored.bucket = 'core' and stored.family <> 'reference') then 'champion'
            when stored.family = published.ensemble_method then 'champion'
            else 'challenger'
        end as status,
        case
            when stored.kind = 'live' and stored.bucket not in ('core', 'ensemble') then stored.trained_until + {{ threshold('model_expiry_days') }}::integer
        end as expires_at,

        ---------- what vouches for it
        stored.sha256,
        stored.data_fingerprint,
        stored.code_fingerprint,
        stored.library_versions,
        stored.written_at
    from stored
    cross join horizons
    left join used
        on used.artifact_id = stored.artifact_id
    left join choices
        on choices.bucket = stored.bucket
        and choices.horizon_days = horizons.horizon_days
    left join published
        on stored.bucket = 'ensemble'
        and published.horizon_days = horizons.horizon_days
)

select * from final

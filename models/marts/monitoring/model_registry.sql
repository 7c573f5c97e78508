-- Stored models with their current status. One row per artifact (a competitor of a bucket, of the
-- core or of the ensemble in one fold) and horizon. Only artifacts with these digests and versions
-- are loaded.
with
stored_models as (
    select
        * replace (
            fold_start::date as fold_start,
            trained_until::date as trained_until,
            written_at::timestamptz::timestamp as written_at
        )
    from {{ ref('int_tournament__artifacts') }}
    where bucket is not null
),

used_artifacts as (
    select distinct artifact_id from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
    union
    select distinct artifact_id from {{ ref('int_ensemble__forecasts') }}
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where fold_type = 'live'
),

active_methods as (
    select distinct horizon_days, ensemble_method from {{ ref('int_ensemble__chosen') }}
    where fold_type = 'live'
),

sources as (
    select any_value(data_source) as data_source from {{ ref('int_tournament__forecasts') }}
),

horizons as (
    select * from {{ ref('horizons') }}
),

final as (
    select
        ---------- key
        stored_models.artifact_id,
        horizons.horizon_days,

        ---------- model
        horizons.horizon_code,
        stored_models.bucket,
        stored_models.family,
        stored_models.fold_type,
        stored_models.fold_start,
        stored_models.trained_until - 1 as trained_through,

        ---------- status
        case
            when used_artifacts.artifact_id is null then 'retired'
            when stored_models.fold_type = 'oof' then 'evidence'
            when
                stored_models.family = choices.family
                or (stored_models.bucket = 'core' and stored_models.family <> 'reference')
            then 'champion'
            when stored_models.family = active_methods.ensemble_method then 'champion'
            else 'challenger'
        end as status,
        case
            when
                stored_models.fold_type = 'live'
                and stored_models.bucket not in ('core', 'ensemble')
            then stored_models.trained_until + {{ threshold('model_expiry_days') }}::integer
        end as expires_at,

        ---------- provenance
        stored_models.sha256,
        stored_models.data_fingerprint,
        stored_models.code_fingerprint,
        stored_models.library_versions,
        stored_models.written_at,
        case when used_artifacts.artifact_id is not null then sources.data_source end as data_source
    from stored_models
    cross join horizons
    cross join sources
    left join used_artifacts
        on used_artifacts.artifact_id = stored_models.artifact_id
    left join choices
        on choices.bucket = stored_models.bucket
        and choices.horizon_days = horizons.horizon_days
    left join active_methods
        on stored_models.bucket = 'ensemble'
        and active_methods.horizon_days = horizons.horizon_days
)

select * from final

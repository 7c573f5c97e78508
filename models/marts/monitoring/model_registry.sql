-- What was fitted, on data up to when: one row an artifact (a family on a block of a bucket, a block of the core or of the ensemble).
-- A fit that failed has forecast nothing and is not here; its reason is in tournament_results.
with
fits as (
    select fingerprint, bucket as subject, family as member, kind, fold_start, trained_until
    from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
    union all
    select fingerprint, 'ensemble', ensemble_method, kind, fold_start, trained_until
    from {{ ref('int_ensemble__forecasts') }}
    where fingerprint is not null  -- a method that feeds on one that stepped aside was not held
),

final as (
    select
        fingerprint as artifact_id,
        subject,
        kind,
        fold_start,
        trained_until,
        string_agg(distinct member, ' ' order by member) as members,
        kind = 'live' as is_in_force
    from fits
    group by fingerprint, subject, kind, fold_start, trained_until
)

select * from final

-- What moves each family's forecasts, by the family's own account: one row a bucket, horizon, family, method and feature.
with
attributions as (
    select * from {{ ref('attributions') }}
),

families as (
    select * from {{ ref('families') }}
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

shared as (
    select
        *,
        (median_importance + coalesce(width_importance, 0))
            / nullif(sum(median_importance + coalesce(width_importance, 0)) over (
                partition by bucket, horizon_days, family, method
            ), 0) as share
    from attributions
),

final as (
    select
        ---------- key
        shared.bucket,
        shared.horizon_days::integer as horizon_days,
        targets.horizon_code,
        shared.family,
        families.label,
        shared.method,
        shared.feature,

        ---------- how the method answers
        shared.method in ('tree_shap', 'coefficients', 'permutation') as is_signed,
        shared.method in ('tree_shap', 'coefficients') as is_exact,

        ---------- over the newest half year
        row_number() over (
            partition by shared.bucket, shared.horizon_days, shared.family, shared.method
            order by shared.share desc nulls last, shared.feature
        )::integer as place,
        shared.share,
        shared.median_importance,
        shared.width_importance,

        ---------- at the newest session
        shared.as_of_date::date as as_of_date,
        shared.feature_value,
        shared.median_latest,
        shared.width_latest,
        shared.fingerprint as artifact_id,
        targets.data_source
    from shared
    inner join families
        on families.family = shared.family
    inner join targets
        on targets.as_of_date = shared.as_of_date
        and targets.horizon_days = shared.horizon_days
)

select * from final

-- Feature attributions of each family's forecasts. One row per bucket, horizon, family, method and
-- feature.
with
attributions as (
    select * from {{ ref('int_tournament__attributions') }}
),

families as (
    select * from {{ ref('families') }}
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

with_shares as (
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
        with_shares.bucket,
        with_shares.horizon_days::integer as horizon_days,
        targets.horizon_code,
        with_shares.family,
        families.label,
        with_shares.method,
        with_shares.feature,

        ---------- how the method answers
        with_shares.method in ('tree_shap', 'coefficients', 'permutation') as is_signed,
        with_shares.method in ('tree_shap', 'coefficients') as is_exact,

        ---------- over the newest half year
        row_number() over (
            partition by
                with_shares.bucket, with_shares.horizon_days, with_shares.family, with_shares.method
            order by with_shares.share desc nulls last, with_shares.feature asc
        )::integer as rank,
        with_shares.share,
        with_shares.median_importance,
        with_shares.width_importance,

        ---------- at the newest session
        with_shares.as_of_date::date as as_of_date,
        with_shares.feature_value,
        with_shares.median_latest,
        with_shares.width_latest,
        with_shares.artifact_id,
        targets.data_source
    from with_shares
    inner join families
        on families.family = with_shares.family
    inner join targets
        on targets.as_of_date = with_shares.as_of_date
        and targets.horizon_days = with_shares.horizon_days
)

select * from final

-- The five features with the largest effect on the newest forecast of each bucket's winner, in
-- cents/lb and as a sentence. One row per bucket, horizon and rank.
{% set least = threshold('min_effect_cents') %}
with
attributions as (
    select * from {{ ref('feature_attributions') }}
    where is_signed
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where fold_type = 'live'
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

-- the reference reads no features
winners as (
    select attributions.*
    from attributions
    inner join choices
        on choices.bucket = attributions.bucket
        and choices.horizon_days = attributions.horizon_days
        and choices.family = attributions.family
    where attributions.family <> 'reference'
),

-- one signed method per family, exact if there is one
preferred_attributions as (
    select * from winners
    qualify
        dense_rank() over (partition by bucket, horizon_days order by is_exact desc, method desc)
        = 1
),

ranked_attributions as (
    select
        *,
        row_number() over (
            partition by bucket, horizon_days
            order by abs(median_latest) + abs(coalesce(width_latest, 0)) desc, feature
        ) as current_rank
    from preferred_attributions
    where median_latest <> 0 or width_latest <> 0
),

-- the median exactly, the width to first order
effects as (
    select
        ranked_attributions.*,
        targets.target_date,
        targets.last_price,
        targets.last_price
        * (exp(ranked_attributions.median_latest * targets.horizon_volatility) - 1) as median_cents,
        targets.last_price
        * targets.horizon_volatility
        * ranked_attributions.width_latest as width_cents
    from ranked_attributions
    inner join targets
        on targets.as_of_date = ranked_attributions.as_of_date
        and targets.horizon_days = ranked_attributions.horizon_days
    where ranked_attributions.current_rank <= {{ threshold('n_explained_features') }}
),

final as (
    select
        ---------- key
        bucket,
        horizon_days,
        horizon_code,
        current_rank::integer as rank,

        ---------- forecast
        as_of_date,
        target_date,
        last_price,
        family,
        label,
        method,

        ---------- by what
        feature,
        feature_value,
        median_latest as median_effect,
        width_latest as width_effect,
        median_cents as median_effect_cents,
        width_cents as width_effect_cents,
        {{ reason_text(
            [
                "case
                    when feature_value is null then 'feature_without_value' else 'feature_at_value'
                end",
                "case
                    when abs(median_cents) < " ~ least ~ " then 'median_unchanged'
                    when median_cents > 0 then 'median_lifted'
                    else 'median_lowered'
                end",
                "case
                    when abs(width_cents) < " ~ least ~ " then 'width_unchanged'
                    when width_cents > 0 then 'width_widened'
                    when width_cents <= 0 then 'width_narrowed'
                end"
            ],
            numbers={
                'feature_value': 'feature_value', 'median_cents': 'abs(median_cents)',
                'width_cents': 'abs(width_cents)'
            },
            texts={'feature': 'feature'}
        ) }} as explanation,
        artifact_id,
        data_source
    from effects
)

select * from final
order by bucket, horizon_days, rank

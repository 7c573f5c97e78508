-- What moves a bucket's consensus, or the linear signals, today: features with the largest
-- contributions to the published median, in cents/lb. The last row of a bucket, `rest`, has the
-- other features and what no feature explains. One row per horizon, bucket and rank.
{% set label = 'coalesce(contributions.label, labels.label, contributions.feature)' %}
{% set least = threshold('min_effect_cents') %}
{% set size = 'abs(contributions.contribution_cents)' %}
with
-- cents_per_unit is what one standardised return in the consensus' median moves the published one
buckets as (
    select
        drivers.as_of_date, drivers.horizon_days, drivers.horizon_code, drivers.driver as bucket,
        drivers.p50_cents, drivers.data_source,
        -- the linear signals are the sum of the buckets' ridge medians
        string_split(coalesce(inputs.members, 'ridge'), ' ') as members,
        drivers.weight
        -- the median's shrinkage before it enters the ensemble
        * case
            when abs(ln(inputs.raw_p50 / inputs.last_price)) < 1e-9
                then inputs.median_weight * inputs.novelty_weight
            else ln(inputs.p50 / inputs.last_price) / ln(inputs.raw_p50 / inputs.last_price)
        end
        * targets.horizon_volatility
        * case
            when abs(ln(forecasts.p50 / forecasts.last_price)) < 1e-9 then forecasts.last_price
            else (forecasts.p50 - forecasts.last_price) / ln(forecasts.p50 / forecasts.last_price)
        end as cents_per_unit
    from {{ ref('zl_forecast_drivers') }} as drivers
    inner join {{ ref('zl_forecast') }} as forecasts
        using (as_of_date, horizon_days)
    inner join {{ ref('int_targets__daily') }} as targets
        using (as_of_date, horizon_days)
    inner join {{ ref('ensemble_inputs') }} as inputs
        using (as_of_date, horizon_days)
    where
        drivers.driver_type in ('bucket', 'linear')
        and inputs.input = drivers.driver
        and inputs.fold_type = 'live'
),

-- the consensus' members with one signed method each, exact if there is one
member_attributions as (
    select
        buckets.*,
        attributions.bucket as feature_bucket,
        attributions.family, attributions.feature, attributions.feature_value,
        attributions.median_latest
    from buckets
    inner join {{ ref('feature_attributions') }} as attributions
        on buckets.bucket in (attributions.bucket, 'linear')
        and attributions.horizon_days = buckets.horizon_days
        and attributions.as_of_date = buckets.as_of_date
        and attributions.is_signed
        and list_contains(buckets.members, attributions.family)
    qualify dense_rank() over (
        partition by
            buckets.bucket, buckets.horizon_days, attributions.bucket, attributions.family
        order by attributions.is_exact desc, attributions.method desc
    ) = 1
),

explained_members as (
    select bucket, horizon_days, string_agg(distinct family, ' ' order by family) as families
    from member_attributions
    group by bucket, horizon_days
),

-- a member without an attribution of a feature has one of zero
contributions as (
    select
        bucket, horizon_days, feature,
        min(feature_bucket) as feature_bucket,
        any_value(feature_value) as feature_value,
        any_value(cents_per_unit) * sum(median_latest) / len(any_value(members))
            as contribution_cents,
        row_number() over (
            partition by bucket, horizon_days
            -- rounded, because the last digits depend on the order of threads
            order by round(abs(contribution_cents), 9) desc, feature asc
        ) as rank
    from member_attributions
    group by bucket, horizon_days, feature
    having contribution_cents <> 0
    qualify rank <= {{ threshold('n_explained_features') }}
),

with_rests as (
    select * from contributions
    union all by name
    select
        buckets.bucket, buckets.horizon_days,
        'rest' as feature,
        'Rest (other features, mean forecast)' as label,
        count(contributions.feature) + 1 as rank,
        any_value(buckets.p50_cents) - coalesce(sum(contributions.contribution_cents), 0)
            as contribution_cents
    from buckets
    left join contributions
        using (bucket, horizon_days)
    group by buckets.bucket, buckets.horizon_days
),

final as (
    select
        ---------- key
        buckets.as_of_date,
        buckets.horizon_days::integer as horizon_days,
        buckets.horizon_code, buckets.bucket, contributions.rank::integer as rank,

        ---------- by what
        contributions.feature,
        {{ label }} as label,
        labels.unit,
        coalesce(newest.feature_value, contributions.feature_value) as feature_value,
        newest.percentile, newest.level,

        ---------- how much
        contributions.contribution_cents,
        {{ size }} / nullif(sum({{ size }}) over bucket, 0) as share,
        array_to_string(buckets.members, ' ') as members,
        coalesce(explained_members.families, '') as members_explained,
        {{ reason_text(
            [
                "case
                    when newest.level is null then 'driver_without_weight' else 'feature_at_level'
                end",
                "case when " ~ size ~ " < " ~ least ~ " then 'median_unchanged'
                    when contributions.contribution_cents > 0 then 'median_lifted'
                    else 'median_lowered'
                end"
            ],
            numbers={'median_cents': size},
            texts={'driver': label, 'feature': label, 'level': 'newest.level'}
        ) }} as explanation,
        buckets.data_source
    from with_rests as contributions
    inner join buckets
        using (bucket, horizon_days)
    left join explained_members
        using (bucket, horizon_days)
    left join {{ ref('features') }} as labels
        using (feature)
    left join {{ ref('int_features__newest') }} as newest
        on newest.bucket = contributions.feature_bucket
        and newest.feature = contributions.feature
        and newest.as_of_date = buckets.as_of_date
    window bucket as (partition by buckets.bucket, buckets.horizon_days)
)

select * from final
order by horizon_days, bucket, rank

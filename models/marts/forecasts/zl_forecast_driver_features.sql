-- What moves a bucket's consensus, or the linear signals, today: features with the largest
-- contributions to the published median, in cents/lb. The last row of a bucket, `rest`, has the
-- other features and what no feature explains. One row per horizon, bucket and rank.
{% set least = threshold('min_effect_cents') %}
with
drivers as (
    select * from {{ ref('zl_forecast_drivers') }}
    where driver_type in ('bucket', 'linear')
),

forecasts as (
    select * from {{ ref('zl_forecast') }}
),

inputs as (
    select * from {{ ref('ensemble_inputs') }}
    where fold_type = 'live'
),

targets as (
    select as_of_date, horizon_days, horizon_volatility from {{ ref('int_targets__daily') }}
),

attributions as (
    select * from {{ ref('feature_attributions') }}
    where is_signed
),

labels as (
    select * from {{ ref('features') }}
),

newest_features as (
    select * from {{ ref('int_features__newest') }}
),

-- cents_per_unit is what one standardised return in the consensus' median moves the published one
buckets as (
    select
        drivers.as_of_date,
        drivers.horizon_days,
        drivers.horizon_code,
        drivers.driver as bucket,
        drivers.p50_cents,
        drivers.data_source,
        -- the linear signals are the sum of the buckets' ridge medians
        coalesce(inputs.members, 'ridge') as members,
        len(string_split(coalesce(inputs.members, 'ridge'), ' ')) as n_members,
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
    from drivers
    inner join forecasts
        using (as_of_date, horizon_days)
    inner join targets
        using (as_of_date, horizon_days)
    inner join inputs
        on inputs.input = drivers.driver
        and inputs.as_of_date = drivers.as_of_date
        and inputs.horizon_days = drivers.horizon_days
),

-- the consensus' members with one signed method each, exact if there is one
member_attributions as (
    select
        buckets.* exclude (members),
        attributions.bucket as feature_bucket,
        attributions.family,
        attributions.feature,
        attributions.feature_value,
        attributions.median_latest
    from buckets
    inner join attributions
        on buckets.bucket in (attributions.bucket, 'linear')
        and attributions.horizon_days = buckets.horizon_days
        and attributions.as_of_date = buckets.as_of_date
        and list_contains(string_split(buckets.members, ' '), attributions.family)
    qualify dense_rank() over (
        partition by
            buckets.bucket, buckets.horizon_days, attributions.bucket, attributions.family
        order by attributions.is_exact desc, attributions.method desc
    ) = 1
),

explained_members as (
    select
        bucket, horizon_days, string_agg(distinct family, ' ' order by family) as members_explained
    from member_attributions
    group by bucket, horizon_days
),

-- a member without an attribution of a feature has one of zero
contributions as (
    select
        bucket,
        horizon_days,
        feature,
        min(feature_bucket) as feature_bucket,
        any_value(feature_value) as feature_value,
        any_value(cents_per_unit) * sum(median_latest) / any_value(n_members) as contribution_cents
    from member_attributions
    group by bucket, horizon_days, feature
),

ranked_contributions as (
    select
        *,
        row_number() over (
            partition by bucket, horizon_days
            -- rounded, because the last digits depend on the order of threads
            order by round(abs(contribution_cents), 9) desc, feature asc
        ) as rank
    from contributions
    where contribution_cents <> 0
    qualify rank <= {{ threshold('n_explained_features') }}
),

rests as (
    select
        buckets.bucket,
        buckets.horizon_days,
        'rest' as feature,
        count(ranked_contributions.feature) + 1 as rank,
        any_value(buckets.p50_cents)
        - coalesce(sum(ranked_contributions.contribution_cents), 0) as contribution_cents
    from buckets
    left join ranked_contributions
        using (bucket, horizon_days)
    group by buckets.bucket, buckets.horizon_days
),

all_contributions as (
    select * from ranked_contributions
    union all by name
    select * from rests
),

labelled_contributions as (
    select
        buckets.as_of_date,
        buckets.horizon_days,
        buckets.horizon_code,
        buckets.bucket,
        all_contributions.rank,
        all_contributions.feature,
        case
            when all_contributions.feature <> 'rest'
                then coalesce(labels.label, all_contributions.feature)
            else 'Rest (other features, mean forecast)'
        end as label,
        labels.unit,
        coalesce(newest_features.feature_value, all_contributions.feature_value) as feature_value,
        newest_features.percentile,
        case
            when newest_features.percentile < 0.05 then 'very low'
            when newest_features.percentile < 0.25 then 'low'
            when newest_features.percentile <= 0.75 then 'usual'
            when newest_features.percentile <= 0.95 then 'high'
            when newest_features.percentile > 0.95 then 'very high'
        end as level,
        all_contributions.contribution_cents,
        abs(all_contributions.contribution_cents) as size,
        buckets.members,
        coalesce(explained_members.members_explained, '') as members_explained,
        buckets.data_source
    from all_contributions
    inner join buckets
        using (bucket, horizon_days)
    left join explained_members
        using (bucket, horizon_days)
    left join labels
        using (feature)
    left join newest_features
        on newest_features.bucket = all_contributions.feature_bucket
        and newest_features.feature = all_contributions.feature
        and newest_features.as_of_date = buckets.as_of_date
),

final as (
    select
        ---------- key
        as_of_date,
        horizon_days::integer as horizon_days,
        horizon_code,
        bucket,
        rank::integer as rank,

        ---------- by what
        feature,
        label,
        unit,
        feature_value,
        percentile,
        level,

        ---------- how much
        contribution_cents,
        size / nullif(sum(size) over (partition by bucket, horizon_days), 0) as share,
        members,
        members_explained,
        {{ reason_text(
            [
                "case
                    when level is null then 'driver_without_weight' else 'feature_at_level'
                end",
                "case
                    when size < " ~ least ~ " then 'median_unchanged'
                    when contribution_cents > 0 then 'median_lifted'
                    else 'median_lowered'
                end"
            ],
            numbers={'median_cents': 'size'},
            texts={'driver': 'label', 'feature': 'label', 'level': 'level'}
        ) }} as explanation,
        data_source
    from labelled_contributions
)

select * from final
order by horizon_days, bucket, rank

-- Newest value of each feature and its rank among all earlier sessions. One row per bucket and
-- feature.
with
features as materialized (
    {{ long_features() }}
),

newest as (
    select * from features
    where as_of_date = (select max(as_of_date) from features)
),

ranks as (
    select
        newest.bucket,
        newest.feature,
        newest.as_of_date,
        newest.feature_value,
        -- equal values count half
        avg(case
            when features.feature_value < newest.feature_value then 1
            when features.feature_value = newest.feature_value then 0.5
            when features.feature_value > newest.feature_value then 0
        end) as percentile
    from newest
    left join features
        on features.bucket = newest.bucket
        and features.feature = newest.feature
        and features.as_of_date < newest.as_of_date
    group by newest.bucket, newest.feature, newest.as_of_date, newest.feature_value
),

final as (
    select
        *,
        case
            when percentile < 0.05 then 'very low'
            when percentile < 0.25 then 'low'
            when percentile <= 0.75 then 'usual'
            when percentile <= 0.95 then 'high'
            when percentile > 0.95 then 'very high'
        end as level
    from ranks
)

select * from final

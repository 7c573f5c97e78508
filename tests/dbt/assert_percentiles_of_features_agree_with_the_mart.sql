-- The percentile of a feature is its rank in the bucket's mart, and only a value has one. Fails
-- with the features.
with
mart as (
    select as_of_date, nymex_cl_momentum_21 as feature_value
    from {{ ref('mart_energy__daily') }}
),

newest as (
    select * from mart
    where as_of_date = (select max(as_of_date) from mart)
),

ranks as (
    select
        newest.as_of_date,
        newest.feature_value,
        (
            count(*) filter (where mart.feature_value < newest.feature_value)
            + count(*) filter (where mart.feature_value = newest.feature_value) / 2
        ) / count(mart.feature_value) as percentile
    from newest
    inner join mart
        on mart.as_of_date < newest.as_of_date
    group by newest.as_of_date, newest.feature_value
)

select features.*, ranks.percentile as expected
from {{ ref('int_features__newest') }} as features
left join ranks
    on features.bucket = 'energy' and features.feature = 'nymex_cl_momentum_21'
where
    features.percentile not between 0 and 1
    or (features.feature_value is null and features.percentile is not null)
    or (
        features.bucket = 'energy' and features.feature = 'nymex_cl_momentum_21'
        and (
            features.as_of_date is distinct from ranks.as_of_date
            or features.feature_value is distinct from ranks.feature_value
            or abs(coalesce(features.percentile, -1) - coalesce(ranks.percentile, -1)) > 1e-9
        )
    )

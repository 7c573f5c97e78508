-- Novelty of a bucket's features: how far the session's value lies outside the range that the
-- fold's training sessions have seen, in standard deviations of these; the largest of all features.
-- One row per bucket, fold type and session with a forecast.
with
features as (
    {{ long_features() }}
),

sessions as (
    select distinct bucket, fold_type, fold_start, trained_until, as_of_date
    from {{ ref('int_tournament__forecasts') }}
),

folds as (
    select distinct bucket, trained_until from sessions
),

training_ranges as (
    select
        bucket,
        folds.trained_until,
        features.feature,
        min(features.feature_value) as lowest,
        max(features.feature_value) as highest,
        stddev_samp(features.feature_value) as sd
    from folds
    inner join features
        using (bucket)
    where features.as_of_date < folds.trained_until
    group by all
    -- nothing is learned from a feature that was constant
    having sd > 1e-9 * greatest(1, abs(lowest), abs(highest))
),

-- materialized, because DuckDB would first multiply the features by all folds of their bucket
session_features as materialized (
    select sessions.*, features.feature, features.feature_value
    from sessions
    inner join features
        using (bucket, as_of_date)
),

distances as (
    select
        session_features.*,
        -- rounded, because the last digits depend on the order of threads
        round(
            greatest(
                0,
                session_features.feature_value - training_ranges.highest,
                training_ranges.lowest - session_features.feature_value
            ) / training_ranges.sd,
            4
        ) as distance
    from session_features
    inner join training_ranges
        using (bucket, trained_until, feature)
),

final as (
    select
        bucket,
        fold_type,
        fold_start,
        trained_until,
        as_of_date,
        max(distance) as novelty,
        arg_max(feature, (distance, feature)) filter (where distance > 0) as novelty_feature
    from distances
    group by all
)

select * from final

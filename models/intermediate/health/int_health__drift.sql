-- Drift of a bucket's features: mean of the last 63 sessions minus mean of all sessions before, in
-- standard deviations of the latter. One row per bucket and session, with the largest move and the
-- fraction of features that moved by more than two.
with
features as (
    {{ long_features() }}
),

windows as (
    select
        bucket,
        as_of_date,
        feature,
        avg(feature_value) over recent as recent_mean,
        avg(feature_value) over before as before_mean,
        stddev_samp(feature_value) over before as before_sd,
        count(feature_value) over before as n_before
    from features
    window
        recent as (
            partition by bucket, feature order by as_of_date
            -- noqa: disable=PRS
            rows between {{ threshold('drift_window_sessions') }}::integer - 1 preceding
                and current row
        ),
        before as (
            partition by bucket, feature order by as_of_date
            rows between unbounded preceding
                and {{ threshold('drift_window_sessions') }}::integer preceding
            -- noqa: enable=PRS
        )
),

shifts as (
    select
        bucket,
        as_of_date,
        feature,
        -- no shift for a feature that was constant before
        case
            when n_before >= {{ threshold('drift_min_sessions') }}
                and before_sd > 1e-9 * greatest(1, abs(before_mean))
            then (recent_mean - before_mean) / before_sd
        end as shift
    from windows
),

final as (
    select
        bucket,
        as_of_date,
        arg_max(shift, (abs(shift), feature)) as largest_shift,
        arg_max(feature, (abs(shift), feature)) filter (where shift is not null)
            as largest_shift_feature,
        avg((abs(shift) > {{ threshold('drift_bound') }})::int) as share_beyond
    from shifts
    group by bucket, as_of_date
)

select * from final

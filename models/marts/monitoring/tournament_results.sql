-- The raw criteria of every family in every block of the history: one row a bucket, horizon, family and block.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where kind = 'oof'
),

final as (
    select
        bucket,
        horizon_days,
        horizon_code,
        family,
        fold_start,
        trained_until,
        any_value(status) as status,
        any_value(reason) as reason,
        any_value(train_rows)::bigint as train_rows,
        count(*) filter (where is_matured) as n_rows,
        avg(pinball_pct) as pinball_pct,
        sqrt(avg(pow(error_pct, 2))) as rmse_pct,
        avg(is_inside_80::int) as coverage_80,
        avg(width_pct) as width_80_pct,
        avg(fit_seconds) as fit_seconds,
        avg(score_seconds) as score_seconds,
        any_value(data_source) as data_source
    from forecasts
    group by all
)

select * from final

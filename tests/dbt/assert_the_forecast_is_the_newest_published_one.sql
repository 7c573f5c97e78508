-- The forecast equals the newest models' output, not an older row of the ledger, and prob_up agrees
-- with the paths drawn from it. Fails with the horizons.
with
newest as (
    select * from {{ ref('int_ensemble__published') }}
    where fold_type = 'live'
    qualify as_of_date = max(as_of_date) over ()
),

paths as (
    select horizon_days, avg((price > last_price)::int) as share_up
    from {{ ref('zl_paths') }}
    group by horizon_days
)

select
    newest.horizon_days,
    newest.ensemble_method,
    forecast.ensemble_method as shown,
    newest.prob_up,
    paths.share_up
from newest
left join {{ ref('zl_forecast') }} as forecast
    on forecast.horizon_days = newest.horizon_days
left join paths
    on paths.horizon_days = newest.horizon_days
where
    (
        forecast.ensemble_method,
        forecast.p05,
        forecast.p10,
        forecast.p25,
        forecast.p50,
        forecast.p75,
        forecast.p90,
        forecast.p95
    )
    is distinct from (
        newest.ensemble_method,
        newest.p05,
        newest.p10,
        newest.p25,
        newest.p50,
        newest.p75,
        newest.p90,
        newest.p95
    )
    or abs(newest.prob_up - paths.share_up) > 0.001 or paths.share_up is null

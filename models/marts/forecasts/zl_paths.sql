-- Monte Carlo paths of the newest published forecast, for valuing your own positions. One row per
-- path and horizon.
with
paths as (
    select * from {{ ref('int_ensemble__paths') }}
),

final as (
    select
        path_number::integer as path_number,
        as_of_date::date as as_of_date,
        horizon_days::integer as horizon_days,
        horizon_code,
        target_date::date as target_date,
        last_price,
        price,
        highest_close,
        lowest_close,
        data_source
    from paths
)

select * from final

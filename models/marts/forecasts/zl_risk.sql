-- Risk of the newest published forecast, from the paths of zl_paths. One row per horizon, side,
-- measure and level.
with
risk as (
    select * from {{ ref('int_ensemble__risk') }}
),

final as (
    select
        as_of_date::date as as_of_date,
        horizon_days::integer as horizon_days,
        horizon_code,
        target_date::date as target_date,
        side,
        measure,
        level_cents,
        value,
        unit,
        n_paths::integer as n_paths,
        data_source
    from risk
)

select * from final

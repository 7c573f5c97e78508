-- Raw criteria of every family in every fold of the history. One row per bucket, horizon, family
-- and fold; a family that failed has the reason instead of criteria.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where fold_type = 'oof'
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
        {{ forecast_criteria('forecasts') }},
        any_value(validation_loss) as validation_loss,
        any_value(data_source) as data_source
    from forecasts
    group by bucket, horizon_days, horizon_code, family, fold_start, trained_until
)

select * from final

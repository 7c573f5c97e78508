-- The forecast of today: the ledger's rows of the newest as_of_date and the models now in force.
with
ledger as (
    select * from {{ ref('zl_forecast_ledger') }}
),

in_force as (
    select distinct as_of_date, horizon_days, model_version, data_source
    from {{ ref('int_ensemble__published') }}
    where kind = 'live'
    qualify as_of_date = max(as_of_date) over ()
),

final as (
    select ledger.*
    from ledger
    inner join in_force
        using (as_of_date, horizon_days, model_version, data_source)
)

select * from final
order by horizon_days

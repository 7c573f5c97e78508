-- The forecast of today: the ledger's rows of the newest as_of_date and the models now in force.
-- Where the build was allowed to go back, newest_seen_on lies after as_of_date.
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

seen as (
    select * from {{ ref('int_calendar__newest_seen') }}
),

final as (
    select
        ledger.*,
        seen.newest_seen_on
    from ledger
    inner join in_force
        using (as_of_date, horizon_days, model_version, data_source)
    cross join seen
)

select * from final
order by horizon_days

-- Today's forecast: the ledger's rows of the newest as_of_date and the active models. If the build
-- was allowed to go back, newest_seen_on lies after as_of_date.
with
ledger as (
    select * from {{ ref('zl_forecast_ledger') }}
),

active_models as (
    select distinct as_of_date, horizon_days, model_version, data_source
    from {{ ref('int_ensemble__published') }}
    where fold_type = 'live'
    qualify as_of_date = max(as_of_date) over ()
),

newest_sessions as (
    select * from {{ ref('int_calendar__newest_seen') }}
),

final as (
    select
        ledger.*,
        newest_sessions.newest_seen_on
    from ledger
    inner join active_models
        using (as_of_date, horizon_days, model_version, data_source)
    cross join newest_sessions
)

select * from final
order by horizon_days

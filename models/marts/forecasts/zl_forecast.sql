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

coverage_tests as (
    select horizon_days, calibration_state, n_independent
    from {{ ref('coverage_tests') }}
    where subject = 'published' and calibration_state is not null
),

final as (
    select
        ledger.*,
        case
            when ledger.fallback_reason is not null then 'failed'
            else coalesce(coverage_tests.calibration_state, 'cannot_tell')
        end as calibration_state,
        coalesce(coverage_tests.n_independent, 0) as n_independent,
        newest_sessions.newest_seen_on
    from ledger
    inner join active_models
        using (as_of_date, horizon_days, model_version, data_source)
    left join coverage_tests
        using (horizon_days)
    cross join newest_sessions
)

select * from final
order by horizon_days

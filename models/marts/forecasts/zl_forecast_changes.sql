-- What changed in the forecast since the session before and since a week ago. One row per horizon
-- and comparison.
with
forecasts as (
    select * from {{ ref('zl_forecast') }}
),

-- the version that was made last counts
ledger as (
    select
        as_of_date, horizon_days, model_version, last_price, p10, p50, p90, ensemble_method,
        is_hindsight
    from {{ ref('zl_forecast_ledger') }}
    where data_source = (select any_value(data_source) from forecasts)
    qualify row_number() over (
        partition by as_of_date, horizon_days order by made_at desc, model_version asc
    ) = 1
),

-- sessions without a build: what the active models would have forecast
active_models as (
    select
        as_of_date, horizon_days, model_version, last_price, p10, p50, p90, ensemble_method,
        true as is_hindsight
    from {{ ref('int_ensemble__published') }}
    where fold_type = 'live'
),

-- with the number of rolls so far
sessions as (
    select
        sessions.session_date as as_of_date,
        sessions.session_number,
        count(*) filter (where prices.is_roll) over (order by sessions.session_date) as n_rolls
    from {{ ref('int_calendar__sessions') }} as sessions
    left join {{ ref('prices_daily') }} as prices
        on prices.as_of_date = sessions.session_date
),

methods as (
    select ensemble_method, label from {{ ref('ensemble_methods') }}
),

all_forecasts as (
    select * from ledger
    union all by name
    select active_models.*
    from active_models
    anti join ledger
        using (as_of_date, horizon_days)
),

earlier_forecasts as (
    select
        forecasts.horizon_days,
        all_forecasts.* exclude (horizon_days),
        newest.session_number - earlier.session_number as n_sessions_back,
        newest.n_rolls > earlier.n_rolls as has_roll
    from forecasts
    inner join all_forecasts
        on all_forecasts.horizon_days = forecasts.horizon_days
        and all_forecasts.as_of_date < forecasts.as_of_date
    inner join sessions as newest
        on newest.as_of_date = forecasts.as_of_date
    inner join sessions as earlier
        on earlier.as_of_date = all_forecasts.as_of_date
),

comparisons as (
    select 'previous' as compared_with, * from earlier_forecasts
    qualify row_number() over (partition by horizon_days order by n_sessions_back) = 1
    union all
    select 'week_ago' as compared_with, * from earlier_forecasts
    where n_sessions_back >= 5
    qualify row_number() over (partition by horizon_days order by n_sessions_back) = 1
),

final as (
    select
        ---------- key
        forecasts.as_of_date,
        forecasts.horizon_days,
        forecasts.horizon_code,
        earlier.compared_with,

        ---------- the earlier forecast
        earlier.as_of_date as earlier_as_of_date,
        earlier.n_sessions_back::integer as n_sessions_back,
        earlier.model_version as earlier_model_version,
        earlier.is_hindsight as earlier_is_hindsight,
        earlier.ensemble_method as earlier_ensemble_method,
        earlier.last_price as earlier_last_price,
        earlier.p10 as earlier_p10,
        earlier.p50 as earlier_p50,
        earlier.p90 as earlier_p90,
        earlier.p90 - earlier.p10 as earlier_band_width,

        ---------- today's
        forecasts.ensemble_method,
        forecasts.last_price,
        forecasts.p10,
        forecasts.p50,
        forecasts.p90,
        forecasts.p90 - forecasts.p10 as band_width,

        ---------- changes
        earlier.has_roll,
        forecasts.last_price - earlier.last_price as last_price_change,
        forecasts.p10 - earlier.p10 as p10_change,
        forecasts.p50 - earlier.p50 as p50_change,
        forecasts.p90 - earlier.p90 as p90_change,
        band_width - earlier_band_width as band_width_change,
        {{ reason_text(
            [
                "'change_since'",
                "case when earlier.has_roll then 'change_at_roll' end",
                "case
                    when forecasts.ensemble_method <> earlier.ensemble_method
                        then 'change_of_method'
                end",
                "case when earlier.is_hindsight then 'change_in_hindsight' end"
            ],
            numbers={
                'last_price': 'last_price_change', 'median': 'p50_change',
                'width': 'band_width_change'
            },
            texts={
                'earlier': 'earlier.as_of_date',
                'earlier_method': 'coalesce(methods.label, earlier.ensemble_method)'
            }
        ) }} as explanation,
        forecasts.data_source
    from forecasts
    inner join comparisons as earlier
        using (horizon_days)
    -- the ledger can name methods that are no longer registered
    left join methods
        on methods.ensemble_method = earlier.ensemble_method
)

select * from final
order by horizon_days, compared_with

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

sessions as (
    select session_date as as_of_date, session_number
    from {{ ref('int_calendar__sessions') }}
),

methods as (
    select ensemble_method, label from {{ ref('ensemble_methods') }}
),

rolls as (
    select as_of_date from {{ ref('prices_daily') }}
    where is_roll
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
        newest.session_number - earlier.session_number as n_sessions_back
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

changes as (
    select
        forecasts.as_of_date,
        forecasts.horizon_days,
        forecasts.horizon_code,
        comparisons.compared_with,
        comparisons.as_of_date as earlier_as_of_date,
        comparisons.n_sessions_back,
        comparisons.model_version as earlier_model_version,
        comparisons.is_hindsight as earlier_is_hindsight,
        forecasts.last_price,
        forecasts.p10,
        forecasts.p50,
        forecasts.p90,
        forecasts.p90 - forecasts.p10 as band_width,
        forecasts.ensemble_method,
        comparisons.last_price as earlier_last_price,
        comparisons.p10 as earlier_p10,
        comparisons.p50 as earlier_p50,
        comparisons.p90 as earlier_p90,
        comparisons.p90 - comparisons.p10 as earlier_band_width,
        comparisons.ensemble_method as earlier_ensemble_method,
        coalesce(methods.label, comparisons.ensemble_method) as earlier_label,
        (
            select count(*) from rolls
            where
                rolls.as_of_date > comparisons.as_of_date
                and rolls.as_of_date <= forecasts.as_of_date
        ) > 0 as has_roll,
        forecasts.data_source
    from forecasts
    inner join comparisons
        using (horizon_days)
    -- the ledger can name methods that are no longer registered
    left join methods
        on methods.ensemble_method = comparisons.ensemble_method
),

final as (
    select
        ---------- key
        as_of_date,
        horizon_days,
        horizon_code,
        compared_with,

        ---------- the earlier forecast
        earlier_as_of_date,
        n_sessions_back::integer as n_sessions_back,
        earlier_model_version,
        earlier_is_hindsight,
        earlier_ensemble_method,
        earlier_last_price,
        earlier_p10,
        earlier_p50,
        earlier_p90,
        earlier_band_width,

        ---------- today's
        ensemble_method,
        last_price,
        p10,
        p50,
        p90,
        band_width,

        ---------- changes
        has_roll,
        last_price - earlier_last_price as last_price_change,
        p10 - earlier_p10 as p10_change,
        p50 - earlier_p50 as p50_change,
        p90 - earlier_p90 as p90_change,
        band_width - earlier_band_width as band_width_change,
        {{ reason_text(
            [
                "'change_since'",
                "case when has_roll then 'change_at_roll' end",
                "case
                    when ensemble_method <> earlier_ensemble_method then 'change_of_method'
                end",
                "case when earlier_is_hindsight then 'change_in_hindsight' end"
            ],
            numbers={
                'last_price': 'last_price - earlier_last_price', 'median': 'p50 - earlier_p50',
                'width': 'band_width - earlier_band_width'
            },
            texts={'earlier': 'earlier_as_of_date', 'earlier_method': 'earlier_label'}
        ) }} as explanation,
        data_source
    from changes
)

select * from final
order by horizon_days, compared_with

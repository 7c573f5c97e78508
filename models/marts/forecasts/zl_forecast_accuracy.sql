-- Scores of the ledger: one row per matured forecast of this market, without hindsight rows. The
-- realised price is the close of target_date, or of the last session before it if the exchange was
-- closed.
with
ledger as (
    select * from {{ ref('zl_forecast_ledger') }}
),

prices as (
    select as_of_date, close, data_source from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

due_forecasts as (
    select * from ledger
    where not is_hindsight
        and data_source = (select any_value(data_source) from prices)
        and target_date <= (select max(as_of_date) from prices)
),

realised_forecasts as (
    select
        due_forecasts.*,
        prices.close as realised_price
    from due_forecasts
    asof inner join prices
        on due_forecasts.target_date >= prices.as_of_date
),

final as (
    select
        as_of_date,
        horizon_days,
        model_version,
        data_source,
        horizon_code,
        target_date,
        made_at,
        ensemble_method,
        verdict,
        last_price,
        p10,
        p50,
        p90,
        realised_price,
        realised_price - p50 as error_cents,
        {{ pinball('realised_price', 'p10', 'p50', 'p90') }} as pinball_cents,
        {{ pinball('realised_price', 'reference_p10', 'reference_p50', 'reference_p90') }}
            as reference_pinball_cents,
        realised_price between p10 and p90 as is_inside_80,
        realised_price between p05 and p95 as is_inside_90
    from realised_forecasts
)

select * from final

-- Risk of the positions in seeds/positions.csv in USD: zl_risk times contracts. One row per
-- position, horizon, measure and level.
with
positions as (
    select *, {{ threshold('usd_per_cent_and_contract') }} * contracts as usd_per_cent
    from {{ ref('positions') }}
),

risk as (
    select * from {{ ref('zl_risk') }}
),

forecasts as (
    select horizon_days, last_price from {{ ref('zl_forecast') }}
),

-- the loss per lb, positive; of a level, the loss if the price ends there
losses as (
    select
        risk.*,
        case
            when risk.unit = 'probability' then null
            when risk.measure = 'expected_high' then risk.value - forecasts.last_price
            when risk.measure = 'expected_low' then forecasts.last_price - risk.value
            else risk.value
        end as value_cents
    from risk
    inner join forecasts
        using (horizon_days)

    union all by name

    select distinct
        risk.* exclude (measure, value, unit),
        'loss_at_level' as measure,
        'cents_per_lb' as unit,
        case risk.side
            when 'buyer' then risk.level_cents - forecasts.last_price
            else forecasts.last_price - risk.level_cents
        end as value_cents
    from risk
    inner join forecasts
        using (horizon_days)
    where risk.level_cents is not null
),

final as (
    select
        ---------- key
        losses.as_of_date,
        losses.horizon_days,
        losses.horizon_code,
        losses.target_date,
        positions.position,
        losses.measure,
        losses.level_cents,

        ---------- the position
        positions.side,
        positions.contracts::double as contracts,

        ---------- its risk
        coalesce(losses.value_cents * positions.usd_per_cent, losses.value) as value,
        case when losses.value_cents is null then 'probability' else 'usd' end as unit,
        losses.value_cents,
        losses.n_paths,
        losses.data_source
    from losses
    inner join positions
        using (side)
)

select * from final
order by position, horizon_days, measure, level_cents

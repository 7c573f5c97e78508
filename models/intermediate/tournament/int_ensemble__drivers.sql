-- Published P10, P50 and P90 minus the last price, split among the inputs and corrections that lead
-- to them, in cents/lb. One row per session (the newest, the one before, a week ago), horizon and
-- driver.
{% set levels = ['10', '50', '90'] -%}
{# in standardised returns; below it, shares of a log return are not defined #}
{% set least = '1e-6' -%}
with
contributions as (
    select * replace (as_of_date::date as as_of_date)
    from {{ ref('int_ensemble__contributions') }}
),

chosen_forecasts as (
    select * from {{ ref('int_ensemble__chosen') }}
    where fold_type = 'live' and as_of_date in (select as_of_date from contributions)
),

published_forecasts as (
    select * from {{ ref('int_ensemble__published') }}
    where fold_type = 'live'
),

-- only a method that adjusts another one's bands has a base method
base_forecasts as (
    select methods.ensemble_method, base.as_of_date, base.horizon_days, base.q10, base.q50, base.q90
    from {{ ref('int_ensemble__forecasts') }} as base
    inner join {{ ref('ensemble_methods') }} as methods
        on methods.base_method = base.ensemble_method
    where base.fold_type = 'live'
),

-- `q` is the published quantile as a standardised return
forecasts as (
    select
        chosen_forecasts.as_of_date, chosen_forecasts.horizon_days,
        chosen_forecasts.last_price, chosen_forecasts.horizon_volatility,
        chosen_forecasts.fallback_reason is not null as is_fallback,
        published_forecasts.model_version,
        {% for level in levels -%}
        published_forecasts.p{{ level }} - chosen_forecasts.last_price as change_{{ level }},
        case
            when published_forecasts.is_widened and '{{ level }}' <> '50' then
                ln(published_forecasts.p{{ level }} / chosen_forecasts.last_price)
                / chosen_forecasts.horizon_volatility
            else chosen_forecasts.q{{ level }}
        end as q{{ level }},
        chosen_forecasts.q{{ level }} as chosen_{{ level }},
        coalesce(base_forecasts.q{{ level }}, chosen_forecasts.q{{ level }})
            as base_{{ level }}{{ "," if not loop.last }}
        {% endfor -%}
    from chosen_forecasts
    left join base_forecasts
        using (ensemble_method, as_of_date, horizon_days)
    inner join published_forecasts
        using (as_of_date, horizon_days)
),

steps as (
    select as_of_date, horizon_days, input as driver, weight, q10, q50, q90
    from contributions

    union all by name

    select
        as_of_date,
        horizon_days,
        'calibration' as driver,
        null as weight,
        chosen_10 - base_10 as q10,
        chosen_50 - base_50 as q50,
        chosen_90 - base_90 as q90
    from forecasts

    union all by name

    select
        as_of_date,
        horizon_days,
        'coherence' as driver,
        null as weight,
        q10 - chosen_10 as q10,
        0 as q50,
        q90 - chosen_90 as q90
    from forecasts
),

-- what the method and what a conformal adjustment of it do to the bands is one driver
drivers as (
    select
        steps.as_of_date,
        steps.horizon_days,
        case
            when steps.driver = 'reference' and forecasts.is_fallback then 'fallback'
            else steps.driver
        end as driver,
        max(steps.weight) as weight,
        sum(steps.q10) as q10,
        sum(steps.q50) as q50,
        sum(steps.q90) as q90
    from steps
    inner join forecasts
        using (as_of_date, horizon_days)
    group by all
),

-- each driver's share of the log return, times the change of the price; if they are almost zero,
-- the derivative
contributions_in_cents as (
    select
        drivers.as_of_date,
        drivers.horizon_days,
        drivers.driver,
        drivers.weight,
        {% for level in levels -%}
        drivers.q{{ level }} * case
            when abs(forecasts.q{{ level }}) < {{ least }}
                then forecasts.last_price * forecasts.horizon_volatility
            else forecasts.change_{{ level }} / forecasts.q{{ level }}
        end as p{{ level }}_cents,
        {% endfor -%}
        forecasts.model_version
    from drivers
    inner join forecasts
        using (as_of_date, horizon_days)
    -- an input that the method does not use, or a correction that did nothing, has no row
    where
        abs(coalesce(drivers.weight, 0)) > 1e-9
        or greatest(abs(drivers.q10), abs(drivers.q50), abs(drivers.q90)) > 1e-9
),

rests as (
    select
        forecasts.as_of_date,
        forecasts.horizon_days,
        'rest' as driver,
        null as weight,
        {% for level in levels -%}
        any_value(forecasts.change_{{ level }})
        - coalesce(sum(contributions_in_cents.p{{ level }}_cents), 0) as p{{ level }}_cents,
        {% endfor -%}
        any_value(forecasts.model_version) as model_version
    from forecasts
    left join contributions_in_cents
        using (as_of_date, horizon_days)
    group by forecasts.as_of_date, forecasts.horizon_days
)

select * from contributions_in_cents
union all by name
select * from rests

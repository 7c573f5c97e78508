-- Skill of the published forecast, recomputed from prices: 1 - loss / loss of the reference.
--
-- The loss is the pinball loss of P10, P50 and P90 in log return, as in monitoring.verdicts. In
-- cents/lb (skill_in_cents) the same forecasts give another figure, because years with high prices
-- weigh more. Skills cannot be averaged: sum the losses first, then divide.
with
quantiles as (
    unpivot forecasts.zl_backtest
    on p10, p50, p90, reference_p10, reference_p50, reference_p90
    into name forecast value price
),

errors as (
    select
        horizon_days,
        as_of_date,
        forecast like 'reference_%' as is_reference,
        right(forecast, 2)::integer / 100 as level,
        ln(realised_price / price) as log_error,
        realised_price - price as error_in_cents
    from quantiles
    where realised_price is not null
),

losses as (
    select
        horizon_days,
        is_reference,
        avg(greatest(level * log_error, (level - 1) * log_error)) as loss,
        avg(greatest(level * error_in_cents, (level - 1) * error_in_cents)) as loss_in_cents,
        count(distinct as_of_date) as n_sessions
    from errors
    group by horizon_days, is_reference
)

select
    horizon.horizon_code,
    own.n_sessions,
    1 - own.loss / reference.loss as skill,
    verdicts.pinball_skill as published_skill,
    1 - own.loss_in_cents / reference.loss_in_cents as skill_in_cents,
    verdicts.p_value,
    verdicts.verdict
from losses as own
inner join losses as reference
    on reference.horizon_days = own.horizon_days and reference.is_reference
inner join monitoring.verdicts as verdicts
    on verdicts.horizon_days = own.horizon_days and verdicts.subject = 'published'
inner join forecasts.dim_horizon as horizon
    on horizon.horizon_days = own.horizon_days
where not own.is_reference
order by own.horizon_days;

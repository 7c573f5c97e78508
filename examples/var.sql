-- Risk of a buyer, recomputed from the 10,000 paths: VaR and CVaR 95, and the probability that the
-- price ends above a level or touches it, beside the published figures. Cents/lb; one contract is
-- 60,000 lb, so times 600 it is USD per contract. A holder loses when the price falls: put
-- last_price - price in place of price - last_price.
with
losses as (
    select horizon_code, horizon_days, price - last_price as loss, price, highest_close
    from forecasts.zl_paths
),

tails as (
    select horizon_days, quantile_cont(loss, 0.95) as var_95 from losses group by horizon_days
),

-- the lowest published level above today's price
levels as (
    select horizon_days, min(level_cents) as level_cents
    from forecasts.zl_risk
    where measure = 'prob_above'
    group by horizon_days
),

published_risks as (
    select
        risk.horizon_days,
        max(value) filter (where measure = 'var_95') as var_95,
        max(value) filter (where measure = 'cvar_95') as cvar_95,
        max(value) filter (where measure = 'prob_above') as prob_above,
        max(value) filter (where measure = 'prob_touch_above') as prob_touch_above
    from forecasts.zl_risk as risk
    inner join levels
        on levels.horizon_days = risk.horizon_days
        and (risk.level_cents = levels.level_cents or risk.level_cents is null)
    where risk.side = 'buyer'
    group by risk.horizon_days
)

select
    losses.horizon_code,
    any_value(tails.var_95) as var_95,
    any_value(published_risks.var_95) as published_var_95,
    avg(loss) filter (where loss >= tails.var_95) as cvar_95,
    any_value(published_risks.cvar_95) as published_cvar_95,
    any_value(levels.level_cents) as level_cents,
    avg((price > levels.level_cents)::integer) as prob_above,
    any_value(published_risks.prob_above) as published_prob_above,
    avg((highest_close >= levels.level_cents)::integer) as prob_touch_above,
    any_value(published_risks.prob_touch_above) as published_prob_touch_above
from losses
inner join tails using (horizon_days)
inner join levels using (horizon_days)
inner join published_risks using (horizon_days)
group by losses.horizon_code, losses.horizon_days
order by losses.horizon_days;

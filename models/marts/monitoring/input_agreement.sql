-- How much the inputs of the average agree today, and how many independent ones they are worth:
-- inputs whose errors correlate at r count as n / (1 + (n - 1) r). One row per horizon.
with
inputs as (
    select * from {{ ref('ensemble_inputs') }}
    where input not in ('reference', 'linear', 'control')
),

errors as (
    select
        inputs.input,
        inputs.as_of_date,
        inputs.horizon_days,
        {{ safe_ln('targets.realised_price / inputs.p50') }} / targets.horizon_volatility as error
    from inputs
    inner join {{ ref('int_targets__daily') }} as targets
        using (as_of_date, horizon_days)
    where inputs.fold_type = 'oof' and targets.is_matured
),

correlations as (
    select
        one.horizon_days,
        corr(one.error, other.error) as correlation
    from errors as one
    inner join errors as other
        on other.as_of_date = one.as_of_date
        and other.horizon_days = one.horizon_days
        and other.input > one.input
    group by one.horizon_days, one.input, other.input
),

mean_correlations as (
    select horizon_days, avg(correlation) as error_correlation
    from correlations
    group by horizon_days
),

today as (
    select
        as_of_date,
        horizon_days,
        horizon_code,
        data_source,
        count(*) as n_inputs,
        count(*) filter (where p50 > last_price) as n_above_last_price,
        stddev_pop(p50) as disagreement_cents,
        min(p50) as lowest_p50,
        max(p50) as highest_p50
    from inputs
    where fold_type = 'live'
    group by as_of_date, horizon_days, horizon_code, data_source
    qualify as_of_date = max(as_of_date) over ()
),

final as (
    select
        today.as_of_date,
        today.horizon_days,
        today.horizon_code,
        today.n_inputs::integer as n_inputs,
        mean_correlations.error_correlation,
        today.n_inputs / (1 + (today.n_inputs - 1) * mean_correlations.error_correlation)
            as n_effective_inputs,
        today.n_above_last_price::integer as n_above_last_price,
        today.disagreement_cents,
        today.lowest_p50,
        today.highest_p50,
        today.data_source
    from today
    left join mean_correlations
        using (horizon_days)
)

select * from final

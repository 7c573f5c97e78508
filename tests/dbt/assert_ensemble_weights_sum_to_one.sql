-- Weights of a method on a day sum to one, before and after shrinkage; those of the regression
-- combination, which weights medians, need not. Fails with the days.
select
    ensemble_method,
    horizon_days,
    fold_type,
    as_of_date,
    sum(weight) as weights,
    sum(effective_weight) as effective_weights
from {{ ref('ensemble_weights') }}
where ensemble_method <> 'granger_ramanathan'
group by all
having abs(weights - 1) > 0.01 or abs(effective_weights - 1) > 0.01

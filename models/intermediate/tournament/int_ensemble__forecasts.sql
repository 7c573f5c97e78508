-- Scored forecasts of every ensemble method, out of fold and live, with the reference of the same
-- row.
with
forecasts as (
    select
        competitor as ensemble_method, * exclude (subject, competitor, train_rows, validation_loss)
    from {{ ref('int_ensemble__methods') }}
),

{{ scored_forecasts('ensemble_method', reference='reference_alone') }},

fold_numbers as (
    select fold_id, dense_rank() over (partition by fold_type order by fold_start) as fold_number
    from (select distinct fold_id, fold_type, fold_start from scored_forecasts) as folds
)

select *
from scored_forecasts
inner join fold_numbers
    using (fold_id)

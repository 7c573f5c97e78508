-- Scored forecasts of every ensemble method, out of fold and live, with the reference of the same
-- row.
with
forecasts as (
    select
        competitor as ensemble_method, * exclude (subject, competitor, train_rows, validation_loss)
    from {{ ref('int_ensemble__methods') }}
),

{{ scored_forecasts('ensemble_method', reference='reference_alone') }}

select
    *,
    dense_rank() over (partition by fold_type order by fold_start) as fold_number
from scored_forecasts

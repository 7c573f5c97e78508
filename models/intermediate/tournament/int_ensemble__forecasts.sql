-- Every forecast of every ensemble method, out of fold and live, scored, with the reference of the same row.
with
forecasts as (
    select competitor as ensemble_method, fold_type as kind, * exclude (subject, competitor, fold_type, train_rows, validation_loss)
    from {{ ref('ensemble_zl') }}
),

{{ scored_forecasts('ensemble_method', reference='reference_alone') }}

select
    *,
    dense_rank() over (partition by kind order by fold_start) as block_number
from scored

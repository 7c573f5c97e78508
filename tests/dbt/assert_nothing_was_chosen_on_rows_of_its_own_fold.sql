-- What chose a family or a method had matured before the fold: no out-of-fold row trained past its own start. Fails with the rows.
select bucket, fold_type, fold_start, trained_until, min(as_of_date) as first_row
from {{ ref('int_tournament__forecasts') }}
group by all
having trained_until > fold_start or min(as_of_date) < fold_start

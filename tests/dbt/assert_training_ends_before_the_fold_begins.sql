-- Selection and training use only rows matured before the fold: trained_until never exceeds
-- fold_start. Fails with the rows.
select bucket, fold_type, fold_start, trained_until, min(as_of_date) as first_row
from {{ ref('int_tournament__forecasts') }}
group by all
having trained_until > fold_start or min(as_of_date) < fold_start

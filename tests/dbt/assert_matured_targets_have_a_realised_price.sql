-- A matured target has a price and a z_return; an unmatured one has neither.
select as_of_date, horizon_days, target_date, is_matured, realised_price, z_return
from {{ ref('int_targets__daily') }}
where is_matured <> (realised_price is not null) or is_matured <> (z_return is not null)

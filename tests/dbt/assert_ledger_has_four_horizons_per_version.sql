-- A forecast is made for all horizons or not at all. Fails with the incomplete ones.
select as_of_date, model_version, data_source, count(*) as n
from {{ ref('zl_forecast_ledger') }}
group by all
having count(*) <> (select count(*) from {{ ref('horizons') }})

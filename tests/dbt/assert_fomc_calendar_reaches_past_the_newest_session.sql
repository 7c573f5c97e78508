-- After the last meeting that is known fomc_days_to is missing. Fix: run `zl ingest fomc`, or add
-- the year's meetings to seeds/fomc_meetings.csv.
{{ config(severity='warn') }}
select as_of_date
from {{ ref('mart_fed__daily') }}
where fomc_days_to is null
    and as_of_date = (select max(as_of_date) from {{ ref('mart_fed__daily') }})

-- Each session so far has exactly one row of prices; each session with a return of ZL exactly one
-- volatility and one regime.
with
sessions as (
    select session_date as as_of_date from {{ ref('int_calendar__sessions') }}
    where not is_future
),

returns as (
    select as_of_date from {{ ref('int_prices__daily') }}
    where symbol = 'zl' and log_return is not null
),

expected_rows as (
    select 'int_prices__wide' as model, as_of_date from sessions
    union all
    select 'int_volatility__zl' as model, as_of_date from returns
    union all
    select 'int_regimes__daily' as model, as_of_date from returns
),

observed_rows as (
    select 'int_prices__wide' as model, as_of_date from {{ ref('int_prices__wide') }}
    union all
    select 'int_volatility__zl' as model, as_of_date from {{ ref('int_volatility__zl') }}
    union all
    select 'int_regimes__daily' as model, as_of_date from {{ ref('int_regimes__daily') }}
)

select
    coalesce(expected_rows.model, observed_rows.model) as model,
    coalesce(expected_rows.as_of_date, observed_rows.as_of_date) as as_of_date,
    count(observed_rows.as_of_date) as n_rows
from expected_rows
full join observed_rows
    on observed_rows.model = expected_rows.model
    and observed_rows.as_of_date = expected_rows.as_of_date
group by all
having count(observed_rows.as_of_date) <> 1 or count(expected_rows.as_of_date) <> 1

-- Both count the same outcomes: the shares of a histogram add up to 1, and those of the bins up to a level to the share at or below
-- its quantile. Fails with the others.
with
cumulated as (
    select
        subject,
        horizon_days,
        upper_level,
        n_rows,
        sum(observed_share) over up_to_the_level as observed,
        sum(nominal_share) over up_to_the_level as nominal
    from {{ ref('pit_histogram') }}
    window up_to_the_level as (partition by subject, horizon_days order by bin)
),

reliability as (
    select subject, horizon_days, nominal, observed, n_rows from {{ ref('reliability') }}
    union all
    -- every outcome lies at or below the end
    select distinct subject, horizon_days, 1, 1, n_rows from {{ ref('reliability') }}
)

select
    coalesce(cumulated.subject, reliability.subject) as subject,
    coalesce(cumulated.horizon_days, reliability.horizon_days) as horizon_days,
    cumulated.upper_level,
    cumulated.observed as by_histogram,
    reliability.observed as by_reliability
from cumulated
full join reliability
    on reliability.subject = cumulated.subject
    and reliability.horizon_days = cumulated.horizon_days
    and abs(reliability.nominal - cumulated.upper_level) < 1e-9
where (
    abs(cumulated.observed - reliability.observed) < 1e-9
    and abs(cumulated.nominal - cumulated.upper_level) < 1e-9
    and cumulated.n_rows = reliability.n_rows
) is not true

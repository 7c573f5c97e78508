-- Both count the same outcomes: the fractions of a histogram add up to 1, and those of the bins up
-- to a level add up to the fraction at or below its quantile. Fails with rows that differ.
with
running_sums as (
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
    -- all outcomes lie at or below the last bin's end
    select distinct subject, horizon_days, 1, 1, n_rows from {{ ref('reliability') }}
)

select
    coalesce(running_sums.subject, reliability.subject) as subject,
    coalesce(running_sums.horizon_days, reliability.horizon_days) as horizon_days,
    running_sums.upper_level,
    running_sums.observed as by_histogram,
    reliability.observed as by_reliability
from running_sums
full join reliability
    on reliability.subject = running_sums.subject
    and reliability.horizon_days = running_sums.horizon_days
    and abs(reliability.nominal - running_sums.upper_level) < 1e-9
where (
    abs(running_sums.observed - reliability.observed) < 1e-9
    and abs(running_sums.nominal - running_sums.upper_level) < 1e-9
    and running_sums.n_rows = reliability.n_rows
) is not true

-- Returns 3, 1, 1, 1 add up to 6 and have a sample deviation of 1: over four sessions 6 / (1 *
-- sqrt(4)) = 3.
with
prices as (
    select * from (values
        (date '2024-01-01', 0.0, null),
        (date '2024-01-02', 3.0, 3.0),
        (date '2024-01-03', 4.0, 1.0),
        (date '2024-01-04', 5.0, 1.0),
        (date '2024-01-05', 6.0, 1.0)
    ) as rows (as_of_date, x_log_index, x_log_return)
),

momenta as (
    select as_of_date, {{ momentum('x', 4) }} as momentum from prices
)

select as_of_date, momentum from momenta
where
    (as_of_date = '2024-01-05' and (momentum is null or abs(momentum - 3) > 1e-12))
    or (as_of_date < '2024-01-05' and momentum is not null)

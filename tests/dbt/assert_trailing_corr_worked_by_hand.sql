-- A line has correlation 1 with itself and -1 with its mirror; a bump (0, 1, 0) has none with a
-- ramp; a constant has no correlation.
with
pairs as (
    select * from (values
        (date '2024-01-01', 1.0, -1.0, 0.0, 7.0),
        (date '2024-01-02', 2.0, -2.0, 1.0, 7.0),
        (date '2024-01-03', 3.0, -3.0, 0.0, 7.0)
    ) as rows (as_of_date, ramp, mirror, bump, constant)
),

correlations as (
    select
        as_of_date,
        {{ trailing_corr('ramp', 'ramp', 3) }} as with_itself,
        {{ trailing_corr('ramp', 'mirror', 3) }} as with_mirror,
        {{ trailing_corr('ramp', 'bump', 3) }} as with_bump,
        {{ trailing_corr('ramp', 'constant', 3) }} as with_constant,
        {{ trailing_corr('ramp', 'ramp', 6) }} as in_a_window_of_six
    from pairs
)

select * from correlations
where
    as_of_date = '2024-01-03'
    and (
        with_itself is null or abs(with_itself - 1) > 1e-12
        or with_mirror is null or abs(with_mirror + 1) > 1e-12
        or with_bump is null or abs(with_bump) > 1e-12
        or with_constant is not null
        or in_a_window_of_six is null
    )
    or as_of_date < '2024-01-03' and in_a_window_of_six is not null

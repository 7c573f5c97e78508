-- The macros `momentum`, `trailing_corr` and `zscore` give what is worked by hand. Fails with the
-- claims that do not hold.
with
-- returns 3, 1, 1, 1 add up to 6 and have a sample deviation of 1: over four sessions 6 / (1 *
-- sqrt(4)) = 3
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
    select
        'momentum over four' as claim,
        as_of_date,
        {{ momentum('x', 4) }} as found,
        case as_of_date when '2024-01-05' then 3 end as expected
    from prices
),

-- A line has correlation 1 with itself and -1 with its mirror; a bump (0, 1, 0) has none with a
-- ramp; a constant has no correlation.
pairs as (
    select * from (values
        (date '2024-01-01', 1.0, -1.0, 0.0, 7.0),
        (date '2024-01-02', 2.0, -2.0, 1.0, 7.0),
        (date '2024-01-03', 3.0, -3.0, 0.0, 7.0)
    ) as rows (as_of_date, ramp, mirror, bump, constant)
),

correlations as (
    {% for other, expected in [('ramp', 1), ('mirror', -1), ('bump', 0), ('constant', 'null')] -%}
    select
        'correlation with a {{ other }}' as claim,
        as_of_date,
        {{ trailing_corr('ramp', other, 3) }} as found,
        {{ expected }} as expected
    from pairs
    qualify as_of_date = '2024-01-03'
    union all
    {% endfor -%}
    select
        'correlation once half of six sessions are filled' as claim,
        as_of_date,
        {{ trailing_corr('ramp', 'ramp', 6) }} as found,
        case as_of_date when '2024-01-03' then 1 end as expected
    from pairs
),

-- Over three rows: -1, 0, 1 has mean 0 and deviation 1, so the z-score of 1 is 1; 0, 1, 5 has mean
-- 2 and deviation sqrt(7), so that of 5 is 3 / sqrt(7). All four have mean 1.25 and deviation
-- sqrt(20.75 / 3); half of six are the first three.
observations as (
    select * from (values
        (date '2024-01-01', -1.0, 2.0, null, null),
        (date '2024-01-02', 0.0, 2.0, 1 / sqrt(2), null),
        (date '2024-01-03', 1.0, 2.0, 1.0, 1.0),
        (date '2024-01-04', 5.0, 2.0, 3 / sqrt(7), 3.75 / sqrt(20.75 / 3))
    ) as rows (as_of_date, ramp, flat, over_three, over_six)
),

scores as (
    {% for values, sessions, expected in [
        ('ramp', 3, 'over_three'), ('ramp', 6, 'over_six'), ('flat', 3, 'null')
    ] -%}
    select
        'z-score of {{ values }} over {{ sessions }}' as claim,
        as_of_date,
        {{ zscore(values, sessions) }} as found,
        {{ expected }} as expected
    from observations
    {{ "union all" if not loop.last }}
    {% endfor %}
)

select * from (
    select * from momenta
    union all
    select * from correlations
    union all
    select * from scores
) as claims
where (found is null) <> (expected is null) or abs(found - expected) > 1e-12

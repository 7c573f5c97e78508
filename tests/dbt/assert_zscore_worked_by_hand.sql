-- Over three rows: -1, 0, 1 has mean 0 and deviation 1, so the z-score of 1 is 1; 0, 1, 5 has mean
-- 2 and deviation sqrt(7), so that of 5 is 3 / sqrt(7). The first row fills only a third of the
-- window; equal values have no deviation, so no z-score.
with
observations as (
    select * from (values
        ('ramp', date '2024-01-01', -1.0, null),
        ('ramp', date '2024-01-02', 0.0, 1 / sqrt(2)),
        ('ramp', date '2024-01-03', 1.0, 1.0),
        ('ramp', date '2024-01-04', 5.0, 3 / sqrt(7))
    ) as rows (pattern, as_of_date, value, expected)
),

flat as (
    select * from (values
        (date '2024-01-01', 2.0),
        (date '2024-01-02', 2.0),
        (date '2024-01-03', 2.0)
    ) as rows (as_of_date, value)
),

half as (
    -- a window of four is half filled by the second row
    select as_of_date, {{ zscore('value', 4) }} as z from observations
),

with_scores as (
    select as_of_date, {{ zscore('value', 3) }} as z, expected from observations
),

scored_flat as (
    select as_of_date, {{ zscore('value', 3) }} as z from flat
)

select 'window of three' as claim, as_of_date, z, expected from with_scores
where as_of_date > '2024-01-01' and (z is null or abs(z - expected) > 1e-12)
union all
select 'null until half is filled' as claim, as_of_date, z, null as expected from half
where (z is null) <> (as_of_date = '2024-01-01')
union all
select 'no deviation, no score' as claim, as_of_date, z, null as expected from scored_flat
where z is not null

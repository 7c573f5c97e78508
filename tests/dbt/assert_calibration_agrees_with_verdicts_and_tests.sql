-- One coverage, three tables: the whole history's in calibration is that of the published line in verdicts and that of every
-- subject in coverage_tests, over as many rows. Fails with the others.
with
whole as (
    select * from {{ ref('calibration') }}
    where slice_kind = 'all'
),

tested as (
    select 'verdicts' as table_name, subject, horizon_days, 80 as band, n_rows, coverage_80 as coverage
    from {{ ref('verdicts') }}
    where subject = 'published'
    union all
    select 'coverage_tests' as table_name, subject, horizon_days, band, n_rows, coverage from {{ ref('coverage_tests') }}
)

select tested.*, whole.n_rows as n_rows_of_calibration
from tested
left join whole
    on whole.subject = tested.subject
    and whole.horizon_days = tested.horizon_days
where (
    whole.n_rows = tested.n_rows
    and abs(case tested.band when 50 then whole.coverage_50 when 80 then whole.coverage_80 else whole.coverage_90 end - tested.coverage) < 1e-9
) is not true

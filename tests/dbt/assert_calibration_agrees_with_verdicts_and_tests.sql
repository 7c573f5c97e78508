-- Over the whole history, coverage and row counts agree between calibration, verdicts (published
-- forecast) and coverage_tests (every subject). Fails with rows that differ.
with
whole_history as (
    select * from {{ ref('calibration') }}
    where slice_type = 'all'
),

coverage_tests as (
    select
        'verdicts' as table_name, subject, horizon_days, 80 as band, n_rows, coverage_80 as coverage
    from {{ ref('verdicts') }}
    where subject = 'published'
    union all
    select 'coverage_tests' as table_name, subject, horizon_days, band, n_rows, coverage
    from {{ ref('coverage_tests') }}
)

select coverage_tests.*, whole_history.n_rows as n_rows_of_calibration
from coverage_tests
left join whole_history
    on whole_history.subject = coverage_tests.subject
    and whole_history.horizon_days = coverage_tests.horizon_days
where (
    whole_history.n_rows = coverage_tests.n_rows
    and abs(
        case coverage_tests.band
            when 50 then whole_history.coverage_50 when 80 then whole_history.coverage_80 else
                whole_history.coverage_90
        end
        - coverage_tests.coverage
    )
    < 1e-9
) is not true

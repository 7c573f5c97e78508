-- Every row is in one slice of each slice_type: rows, hits and loss of a slice_type add up to those
-- of the whole history. Fails with slice types that do not.
with
totals as (
    select
        subject,
        horizon_days,
        slice_type,
        sum(n_rows) as n_rows,
        sum(n_rows * coverage_80) as n_inside_80,
        sum(n_rows * below_50) as n_below_50,
        sum(n_rows * pinball_pct) as loss
    from {{ ref('calibration') }}
    group by subject, horizon_days, slice_type
)

select totals.*, whole.n_rows as n_rows_of_all
from totals
left join totals as whole
    on whole.subject = totals.subject
    and whole.horizon_days = totals.horizon_days
    and whole.slice_type = 'all'
where (
    totals.n_rows = whole.n_rows
    and abs(totals.n_inside_80 - whole.n_inside_80) < 1e-6
    and abs(totals.n_below_50 - whole.n_below_50) < 1e-6
    and abs(totals.loss - whole.loss) < 1e-6
) is not true

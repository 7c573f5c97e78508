-- Do the bands cover as often as they should, and do misses come one by one? One row a subject, horizon, band and test.
with
backtests as (
    select * from {{ ref('int_ensemble__coverage_tests') }}
),

-- where nothing has matured the frame is empty, and its columns of text have no type of their own
final as (
    select
        ---------- key
        subject::varchar as subject,
        horizon_days,
        horizon_code::varchar as horizon_code,
        band,
        test::varchar as test,

        ---------- what it rests on
        n_rows,
        n_subsamples,
        n_samples,

        ---------- result
        coverage,
        p_value,
        share_rejecting,
        verdict::varchar as verdict,
        data_source::varchar as data_source
    from backtests
)

select * from final

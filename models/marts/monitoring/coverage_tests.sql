-- Coverage and independence tests of the bands, and what the coverage test of the 80 % band can
-- tell. One row per subject, horizon, band and test.
with
backtests as (
    select * from {{ ref('int_ensemble__coverage_tests') }}
),

-- without matured rows the data frame is empty and its text columns have no type
final as (
    select
        ---------- key
        subject::varchar as subject,
        horizon_days,
        horizon_code::varchar as horizon_code,
        band,
        test::varchar as test,

        ---------- evidence
        n_rows,
        n_subsamples,
        n_samples,
        n_rows / horizon_days as n_independent,

        ---------- result
        coverage,
        p_value,
        share_rejecting,
        verdict::varchar as verdict,
        case
            when band <> 80 or test <> 'coverage' then null
            when verdict = 'rejected' then 'failed'
            when n_rows / horizon_days < {{ threshold('min_calibration_samples') }}
                then 'cannot_tell'
            else 'ok'
        end as calibration_state,
        data_source::varchar as data_source
    from backtests
)

select * from final

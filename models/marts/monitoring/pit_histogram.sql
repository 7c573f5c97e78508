-- Histogram of the probability integral transform: fraction of outcomes between neighbouring
-- quantiles. The seven levels make eight bins, so the fractions are exact, without interpolation or
-- assumptions about tails. One row per subject, horizon and bin, including empty bins. Source:
-- Diebold, Gunther and Tay (1998), International Economic Review 39(4), 863-883.
with
outcomes as (
    select * from {{ ref('int_ensemble__outcomes') }}
),

bins (bin, lower_level, upper_level, nominal_share) as (
    values
        (1, 0.00, 0.05, 0.05),
        (2, 0.05, 0.10, 0.05),
        (3, 0.10, 0.25, 0.15),
        (4, 0.25, 0.50, 0.25),
        (5, 0.50, 0.75, 0.25),
        (6, 0.75, 0.90, 0.15),
        (7, 0.90, 0.95, 0.05),
        (8, 0.95, 1.00, 0.05)
),

subjects as (
    select
        subject,
        horizon_days,
        horizon_code,
        count(*) as n_rows,
        any_value(data_source) as data_source
    from outcomes
    group by subject, horizon_days, horizon_code
),

counts as (
    select subject, horizon_days, outcome_bin as bin, count(*) as n_in_bin
    from outcomes
    group by subject, horizon_days, outcome_bin
),

final as (
    select
        ---------- key
        subjects.subject,
        subjects.horizon_days,
        subjects.horizon_code,
        bins.bin,

        ---------- the bin: above the lower quantile, at or below the upper one
        bins.lower_level::double as lower_level,
        bins.upper_level::double as upper_level,

        ---------- shares
        bins.nominal_share::double as nominal_share,
        coalesce(counts.n_in_bin, 0) / subjects.n_rows as observed_share,
        coalesce(counts.n_in_bin, 0) as n_in_bin,
        subjects.n_rows,
        subjects.n_rows / subjects.horizon_days as n_independent,
        subjects.data_source
    from subjects
    cross join bins
    left join counts
        on counts.subject = subjects.subject
        and counts.horizon_days = subjects.horizon_days
        and counts.bin = bins.bin
)

select * from final

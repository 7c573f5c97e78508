-- Reliability: fraction of outcomes at or below each quantile, its level and the sampling band
-- around the level. One row per subject, horizon and level. The band is the normal approximation of
-- the binomial, level +- 1.96 sqrt(level (1 - level) / n) with n independent samples, clipped to 0
-- and 1. Apart from the clipping, observed lies within it if and only if the level lies within
-- Wilson's interval around observed. Source: Wilson (1927), Journal of the American Statistical
-- Association 22, 209-212.
with
outcomes as (
    select * from {{ ref('int_ensemble__outcomes') }}
),

levels (level_number, nominal) as (
    values (1, 0.05), (2, 0.10), (3, 0.25), (4, 0.50), (5, 0.75), (6, 0.90), (7, 0.95)
),

frequencies as (
    select
        outcomes.subject,
        outcomes.horizon_days,
        outcomes.horizon_code,
        levels.nominal::double as nominal,
        avg((outcomes.outcome_bin <= levels.level_number)::integer) as observed,
        count(*) as n_rows,
        count(*) / outcomes.horizon_days as n_independent,
        any_value(outcomes.data_source) as data_source
    from outcomes
    cross join levels
    group by outcomes.subject, outcomes.horizon_days, outcomes.horizon_code, levels.nominal
),

frequencies_with_bands as (
    select *, 1.959963984540054 * sqrt(nominal * (1 - nominal) / n_independent) as half_width
    from frequencies
),

final as (
    select
        ---------- key
        subject,
        horizon_days,
        horizon_code,
        nominal,

        ---------- observed
        observed,
        n_rows,
        n_independent,

        ---------- sampling band
        greatest(nominal - half_width, 0) as band_low,
        least(nominal + half_width, 1) as band_high,
        observed between nominal - half_width and nominal + half_width as is_within_band,
        data_source
    from frequencies_with_bands
)

select * from final

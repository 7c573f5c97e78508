-- sin and cos of one angle, one cycle per year for the first pair and two for the second: check the
-- signs by day of the year.
with
terms as (
    -- a leap year's last day counts as New Year
    select *, (dayofyear(as_of_date) - 1) % 365 + 1 as day
    from {{ ref('int_base__daily') }}
)

select as_of_date, base_season_sin_1, base_season_cos_1, base_season_sin_2, base_season_cos_2
from terms
where
    abs(pow(base_season_sin_1, 2) + pow(base_season_cos_1, 2) - 1) > 1e-12
    or abs(pow(base_season_sin_2, 2) + pow(base_season_cos_2, 2) - 1) > 1e-12
    or (base_season_sin_1 > 0) <> (day <= 182)
    or (base_season_cos_1 > 0) <> (day <= 91 or day >= 274)
    or (base_season_sin_2 > 0) <> (day <= 91 or day between 183 and 273)
    or (base_season_cos_2 > 0) <> (day <= 45 or day between 137 and 228 or day >= 320)

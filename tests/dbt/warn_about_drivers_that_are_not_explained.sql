-- The split explains the forecast: the rest has at most max_rest_share of the moves of the median,
-- and is no part of the bands. Warns with the horizons, because the forecast itself is right.
{{ config(severity='warn') }}
select horizon_days, share, p10_cents, p50_cents, p90_cents
from {{ ref('zl_forecast_drivers') }}
where
    driver = 'rest'
    and (
        coalesce(share, 0) > {{ threshold('max_rest_share') }}
        or greatest(abs(p10_cents), abs(p90_cents)) > {{ threshold('min_effect_cents') }}
    )

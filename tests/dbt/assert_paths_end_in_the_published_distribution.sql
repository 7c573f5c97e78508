-- At each horizon the fraction of paths up to a published quantile is that quantile's level, up to
-- a path at the quantile itself. If quantiles coincide, their levels lie between the fractions
-- below and up to the price. Fails with the quantiles that are missed.
with
quantiles as (
    unpivot (select horizon_days, p05, p10, p25, p50, p75, p90, p95 from {{ ref('zl_forecast') }})
    on p05, p10, p25, p50, p75, p90, p95
    into name quantile value price
),

path_shares as (
    select
        quantiles.horizon_days,
        quantiles.quantile,
        right(quantiles.quantile, 2)::integer / 100 as level,
        avg((paths.price <= quantiles.price + 1e-9)::integer) as share,
        avg((paths.price < quantiles.price - 1e-9)::integer) as share_below
    from quantiles
    left join {{ ref('zl_paths') }} as paths
        using (horizon_days)
    group by all
)

select *
from path_shares
where share is null or level not between share_below - 0.0002 and share + 0.0002

-- Inputs of the ensemble methods: the champion of each bucket, the core and the reference.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where status = 'ok'
),

choices as (
    select bucket, fold_id, horizon_days, family from {{ ref('int_tournament__choices') }}
),

winners as (
    select forecasts.*, forecasts.bucket as input
    from forecasts
    inner join choices
        using (bucket, fold_id, horizon_days, family)
),

core as (
    select *, case family when 'reference' then 'reference' else 'core' end as input
    from forecasts
    where bucket = 'core'
),

inputs as (
    select * from winners
    union all
    select * from core
),

-- A bucket reselected within the month has its own live fold; the ensemble's live fold begins with
-- the newest of them.
live as (
    select max(fold_start) as fold_start, max(trained_until) as trained_until
    from inputs
    where fold_type = 'live'
),

final as (
    select
        inputs.* exclude (fold_start, trained_until),
        case inputs.fold_type when 'live' then live.fold_start else inputs.fold_start end
            as fold_start,
        case inputs.fold_type when 'live' then live.trained_until else inputs.trained_until end
            as trained_until
    from inputs
    cross join live
    where inputs.fold_type = 'oof' or inputs.as_of_date >= live.fold_start
)

select
    input,
    family,
    fold_type,
    fold_start,
    trained_until,
    as_of_date,
    horizon_days,
    q05, q10, q25, q50, q75, q90, q95,
    is_matured,
    target_date,
    pinball_pct,
    is_inside_80
from final

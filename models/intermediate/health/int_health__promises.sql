-- What a block's champion promised when the block began: its gain on the reference over out-of-fold rows that had matured by then, as
-- the tournament measured it, and how far single weeks of those rows strayed from that. Nothing in here has seen the block.
with
blocks as (
    select distinct subject, horizon_days, fold_start, trained_until, champion
    from {{ ref('int_health__rows') }}
    where fold_start is not null
),

families as (
    select * from {{ ref('int_tournament__forecasts') }}
    where kind = 'oof' and status = 'ok' and is_matured
),

methods as (
    select * from {{ ref('int_ensemble__forecasts') }}
    where kind = 'oof' and status = 'ok' and is_matured and block_number >= 2  -- as in int_ensemble__criteria
),

past as (
    select
        blocks.*,
        rows.target_date,
        rows.pinball_pct,
        reference.pinball_pct as reference_pinball_pct,
        100 * rows.scale * (reference.q90 - reference.q10) as reference_width_pct
    from blocks
    inner join families as rows
        on rows.bucket = blocks.subject
        and rows.family = blocks.champion
        and rows.horizon_days = blocks.horizon_days
        and rows.fold_start < blocks.fold_start
        and rows.target_date < blocks.trained_until
    inner join families as reference
        on reference.bucket = rows.bucket
        and reference.family = 'reference'
        and reference.fold_start = rows.fold_start
        and reference.as_of_date = rows.as_of_date
        and reference.horizon_days = rows.horizon_days
    union all
    select
        blocks.*,
        rows.target_date,
        rows.pinball_pct,
        rows.reference_pinball_pct,
        100 * rows.scale * (rows.reference_q90 - rows.reference_q10) as reference_width_pct
    from blocks
    inner join methods as rows
        on blocks.subject = 'published'
        and rows.ensemble_method = blocks.champion
        and rows.horizon_days = blocks.horizon_days
        and rows.fold_start < blocks.fold_start
        and rows.target_date < blocks.trained_until
),

promises as (
    select
        subject,
        horizon_days,
        fold_start,
        champion,
        count(*) as n_rows,
        1 - avg(pinball_pct) / avg(reference_pinball_pct) as promised_gain
    from past
    group by subject, horizon_days, fold_start, champion
),

weeks as (
    select
        past.subject,
        past.horizon_days,
        past.fold_start,
        past.champion,
        avg(
            (past.pinball_pct - (1 - promises.promised_gain) * past.reference_pinball_pct) / past.reference_width_pct
        ) as excess
    from past
    inner join promises
        using (subject, horizon_days, fold_start, champion)
    group by past.subject, past.horizon_days, past.fold_start, past.champion, date_trunc('week', past.target_date)
),

spreads as (
    select
        subject,
        horizon_days,
        fold_start,
        champion,
        count(*) as n_weeks,
        stddev_samp(excess) as weekly_spread
    from weeks
    group by subject, horizon_days, fold_start, champion
)

select *
from promises
inner join spreads
    using (subject, horizon_days, fold_start, champion)

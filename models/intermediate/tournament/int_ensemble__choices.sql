-- The method that is published in each block and horizon: the least pinball loss, relative to the reference, on what had
-- matured before the block.
-- Until every method has been scored on a block, and wherever nothing did better, it is the reference alone.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

blocks as (
    select distinct kind, fold_start, trained_until, horizon_days, block_number
    from forecasts
),

criteria as (
    select
        blocks.*,
        past.ensemble_method,
        {{ forecast_criteria('past') }},
        avg(past.reference_pinball_pct) as reference_pinball_pct
    from blocks
    inner join forecasts as past
        on past.kind = 'oof'
        and past.horizon_days = blocks.horizon_days
        and past.is_matured
        and past.status = 'ok'
        and past.block_number >= 2  -- the first block has no matured rows to fit on
        and past.fold_start < blocks.fold_start
        and past.target_date < blocks.trained_until
    group by all
),

-- a combination must have gained more than var ensemble_min_gain over the reference alone, on its own rows
gains as (
    select
        criteria.*,
        criteria.pinball_pct / criteria.reference_pinball_pct as relative_pinball,
        max(criteria.pinball_pct / criteria.reference_pinball_pct) filter (where criteria.ensemble_method = 'reference_alone') over (
            partition by criteria.kind, criteria.fold_start, criteria.horizon_days
        ) as reference_alone_pinball
    from criteria
),

ranked as (
    select
        *,
        row_number() over by_pinball as place,
        lead(ensemble_method) over by_pinball as runner_up
    from gains
    where ensemble_method = 'reference_alone'
        or relative_pinball < reference_alone_pinball - {{ var('ensemble_min_gain') }}
    window by_pinball as (partition by kind, fold_start, horizon_days order by relative_pinball, ensemble_method)
),

final as (
    select
        blocks.*,
        coalesce(ranked.ensemble_method, 'reference_alone') as ensemble_method,
        ranked.runner_up,
        coalesce(ranked.n_rows, 0) as n_rows,
        1 - ranked.pinball_pct / ranked.reference_pinball_pct as pinball_skill_so_far
    from blocks
    left join ranked
        on ranked.kind = blocks.kind
        and ranked.fold_start = blocks.fold_start
        and ranked.horizon_days = blocks.horizon_days
        and ranked.place = 1
)

select * from final

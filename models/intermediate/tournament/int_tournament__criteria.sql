-- What was known of each family when a block began: its criteria over the out-of-fold rows whose targets had matured by then,
-- over all of them and over those of the block's regime, and the weighted score relative to the reference, which stands at zero
-- (seeds/score_weights.csv). Nothing in here has seen the block: its regime is that of the last session before it.
with
forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
),

regimes as (
    select * from {{ ref('int_regimes__daily') }}
),

families as (
    select * from {{ ref('families') }}
),

weights as (
    select * from {{ ref('score_weights') }}
),

-- after a degradation: since when losses have piled up
evidence as (
    {{ evidence_since() }}
),

blocks as (
    select distinct bucket, kind, fold_start, trained_until
    from forecasts
    where bucket <> 'core'
),

-- asof: the newest session before the block
current_regimes as (
    select blocks.*, regimes.regime
    from blocks
    asof left join regimes
        on blocks.fold_start > regimes.as_of_date
),

-- A choice is made for a block of the history before its first session and knows that session's forecasts at most: who fails
-- later was chosen all the same. The live block's choice is made anew every day, for the newest session.
present as (
    select bucket, kind, fold_start, horizon_days, family
    from forecasts
    window block as (
        partition by bucket, kind, fold_start, horizon_days
    )
    qualify status = 'ok'
        and as_of_date = case kind
            when 'live' then max(as_of_date) over block
            else min(as_of_date) over block
        end
),

past as (
    select
        blocks.*,
        rows.horizon_days,
        rows.family,
        rows.pinball_pct,
        rows.error_pct,
        rows.is_inside_80,
        rows.width_pct,
        rows.fit_seconds,
        rows.score_seconds,
        -- on the family's own rows: one that failed in a bad year must not look good for it
        reference.pinball_pct as reference_pinball_pct,
        reference.error_pct as reference_error_pct,
        reference.is_inside_80 as reference_is_inside_80,
        coalesce(regimes.regime = blocks.regime, false) as is_of_the_regime,
        coalesce(rows.target_date >= evidence.evidence_from, false) as is_since
    from current_regimes as blocks
    inner join forecasts as rows
        on rows.bucket = blocks.bucket
        and rows.kind = 'oof'
        and rows.is_matured
        and rows.status = 'ok'
        and rows.fold_start < blocks.fold_start
        and rows.target_date < blocks.trained_until
    inner join forecasts as reference
        on reference.bucket = rows.bucket
        and reference.kind = rows.kind
        and reference.fold_start = rows.fold_start
        and reference.as_of_date = rows.as_of_date
        and reference.horizon_days = rows.horizon_days
        and reference.family = 'reference'
    left join regimes
        on regimes.as_of_date = rows.as_of_date
    left join evidence
        on blocks.kind = 'live'
        and evidence.bucket = rows.bucket
        and evidence.horizon_days = rows.horizon_days
),

scoped as (
    select *, 'all' as scope from past
    union all
    select *, 'regime' as scope from past
    where is_of_the_regime
    union all
    select *, 'since' as scope from past
    where is_since
),

criteria as (
    select
        bucket,
        kind,
        fold_start,
        trained_until,
        horizon_days,
        family,
        regime,
        scope,
        {{ forecast_criteria('scoped') }},
        avg(reference_pinball_pct) as reference_pinball_pct,
        sqrt(avg(pow(reference_error_pct, 2))) as reference_rmse_pct,
        avg(reference_is_inside_80::int) as reference_coverage_80
    from scoped
    group by bucket, kind, fold_start, trained_until, horizon_days, family, regime, scope
),

relative as (
    select
        criteria.*,
        1 - criteria.pinball_pct / criteria.reference_pinball_pct as pinball_gain,
        1 - criteria.rmse_pct / criteria.reference_rmse_pct as rmse_gain,
        abs(criteria.reference_coverage_80 - 0.8) - abs(criteria.coverage_80 - 0.8) as coverage_gain,
        families.interpretability,
        families.interpretability - reference.interpretability as interpretability_gain
    from criteria
    inner join families
        on families.family = criteria.family
    inner join families as reference
        on reference.family = 'reference'
),

scores as (
    select bucket, kind, fold_start, horizon_days, family, scope, sum(weights.weight * long.value) as score
    from (
        unpivot relative on pinball_gain, rmse_gain, coverage_gain, interpretability_gain
        into name criterion value value
    ) as long
    inner join weights
        on weights.criterion = long.criterion
    group by all
),

scored as (
    select relative.*, scores.score
    from relative
    inner join scores
        using (bucket, kind, fold_start, horizon_days, family, scope)
),

final as (
    select
        ---------- key
        overall.bucket,
        overall.kind,
        overall.fold_start,
        overall.trained_until,
        overall.horizon_days,
        overall.family,

        ---------- over all rows
        overall.n_rows,
        overall.pinball_pct,
        overall.rmse_pct,
        overall.coverage_80,
        overall.width_80_pct,
        overall.fit_seconds,
        overall.score_seconds,
        overall.interpretability,
        overall.reference_pinball_pct,
        overall.reference_rmse_pct,
        overall.reference_coverage_80,
        overall.pinball_gain,
        overall.rmse_gain,
        overall.coverage_gain,
        overall.interpretability_gain,

        ---------- over rows of the block's regime
        overall.regime,
        coalesce(own.n_rows, 0) as regime_n_rows,
        own.pinball_pct as regime_pinball_pct,
        own.rmse_pct as regime_rmse_pct,
        own.coverage_80 as regime_coverage_80,
        own.pinball_gain as regime_pinball_gain,
        own.rmse_gain as regime_rmse_gain,
        own.coverage_gain as regime_coverage_gain,

        ---------- may it stand for the bucket
        -- time is a gate, half an hour to train and a second to score a day, and no part of the score: a clock must not choose
        overall.fit_seconds <= 1800 and overall.score_seconds <= 1 as is_within_limits,
        present.family is not null as has_forecasts,

        ---------- score: the regime counts by its samples that do not overlap
        coalesce(own.n_rows, 0) / (coalesce(own.n_rows, 0) + {{ var('regime_prior_samples') }} * overall.horizon_days) as regime_weight,
        overall.score as score_all,
        own.score as score_regime,
        overall.score + regime_weight * (coalesce(own.score, overall.score) - overall.score) as score_before,

        ---------- what came since a degradation counts by the same rule, with a prior that is worth less: something has changed
        coalesce(since.n_rows, 0) as since_n_rows,
        since.score as score_since,
        coalesce(since.n_rows, 0) / (coalesce(since.n_rows, 0) + {{ var('degraded_prior_samples') }} * overall.horizon_days) as since_weight,
        score_before + since_weight * (coalesce(since.score, score_before) - score_before) as score
    from scored as overall
    left join scored as own
        on own.bucket = overall.bucket
        and own.kind = overall.kind
        and own.fold_start = overall.fold_start
        and own.horizon_days = overall.horizon_days
        and own.family = overall.family
        and own.scope = 'regime'
    left join scored as since
        on since.bucket = overall.bucket
        and since.kind = overall.kind
        and since.fold_start = overall.fold_start
        and since.horizon_days = overall.horizon_days
        and since.family = overall.family
        and since.scope = 'since'
    left join present
        on present.bucket = overall.bucket
        and present.kind = overall.kind
        and present.fold_start = overall.fold_start
        and present.horizon_days = overall.horizon_days
        and present.family = overall.family
    where overall.scope = 'all'
)

select * from final

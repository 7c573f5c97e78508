-- What was known of each ensemble method when a block began: its criteria over the out-of-fold rows whose targets had matured by then,
-- and the weighted score relative to the reference, which stands at zero (seeds/ensemble_score_weights.csv). Few samples make a
-- winner by luck, so the score is drawn towards what was believed before (prior_score in seeds/ensemble_methods.csv).
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
),

methods as (
    select * from {{ ref('ensemble_methods') }}
),

weights as (
    select * from {{ ref('ensemble_score_weights') }}
),

evidence as (
    select
        * replace (fold_start::date as fold_start)
    from {{ ref('ensemble_evidence') }}
),

blocks as (
    select distinct kind, fold_start, trained_until, horizon_days, horizon_code, block_number
    from forecasts
),

-- A choice is made for a block of the history before its first session and knows that session's forecasts at most: who fails
-- later was chosen all the same. The live block's choice is made anew every day, for the newest session.
present as (
    select kind, fold_start, horizon_days, ensemble_method
    from forecasts
    window block as (
        partition by kind, fold_start, horizon_days
    )
    qualify status = 'ok'
        and as_of_date = case kind
            when 'live' then max(as_of_date) over block
            else min(as_of_date) over block
        end
),

past as (
    select
        blocks.kind,
        blocks.fold_start,
        blocks.horizon_days,
        rows.ensemble_method,
        rows.pinball_pct,
        rows.error_pct,
        rows.is_inside_50,
        rows.is_inside_80,
        rows.is_inside_90,
        rows.width_pct,
        rows.fit_seconds,
        rows.score_seconds,
        -- on the method's own rows: one that failed in a bad year must not look good for it
        reference.pinball_pct as reference_pinball_pct,
        reference.is_inside_50 as reference_is_inside_50,
        reference.is_inside_80 as reference_is_inside_80,
        reference.is_inside_90 as reference_is_inside_90,
        reference.width_pct as reference_width_pct
    from blocks
    inner join forecasts as rows
        on rows.kind = 'oof'
        and rows.horizon_days = blocks.horizon_days
        and rows.is_matured
        and rows.status = 'ok'
        and rows.block_number >= 2  -- the first block has no matured rows to fit on
        and rows.fold_start < blocks.fold_start
        and rows.target_date < blocks.trained_until
    inner join forecasts as reference
        on reference.kind = rows.kind
        and reference.fold_start = rows.fold_start
        and reference.as_of_date = rows.as_of_date
        and reference.horizon_days = rows.horizon_days
        and reference.ensemble_method = 'reference_alone'
),

averages as (
    select
        kind,
        fold_start,
        horizon_days,
        ensemble_method,
        {{ forecast_criteria('past') }},
        avg(is_inside_50::int) as coverage_50,
        avg(is_inside_90::int) as coverage_90,
        avg(reference_pinball_pct) as reference_pinball_pct,
        avg(reference_width_pct) as reference_width_80_pct,
        avg(reference_is_inside_50::int) as reference_coverage_50,
        avg(reference_is_inside_80::int) as reference_coverage_80,
        avg(reference_is_inside_90::int) as reference_coverage_90
    from past
    group by kind, fold_start, horizon_days, ensemble_method
),

criteria as (
    select
        *,
        1 - pinball_pct / reference_pinball_pct as pinball_gain,
        round((
            abs(reference_coverage_50 - 0.5) - abs(coverage_50 - 0.5)
            + abs(reference_coverage_80 - 0.8) - abs(coverage_80 - 0.8)
            + abs(reference_coverage_90 - 0.9) - abs(coverage_90 - 0.9)
        ) / 3, 12) as coverage_gain,  -- rounded: the same coverage is the same gain, to the last digit
        1 - width_80_pct / reference_width_80_pct as sharpness_gain
    from averages
),

scores as (
    select kind, fold_start, horizon_days, ensemble_method, sum(weights.weight * long.value) as score
    from (
        unpivot criteria on pinball_gain, coverage_gain, sharpness_gain
        into name criterion value value
    ) as long
    inner join weights
        on weights.criterion = long.criterion
    group by all
),

final as (
    select
        ---------- key
        blocks.kind,
        blocks.fold_start,
        blocks.trained_until,
        blocks.horizon_days,
        blocks.horizon_code,
        blocks.block_number,
        methods.ensemble_method,

        ---------- raw criteria; empty where nothing has matured
        coalesce(criteria.n_rows, 0) as n_rows,
        criteria.pinball_pct,
        criteria.rmse_pct,
        criteria.coverage_50,
        criteria.coverage_80,
        criteria.coverage_90,
        criteria.width_80_pct,
        criteria.fit_seconds,
        criteria.score_seconds,
        criteria.reference_pinball_pct,
        criteria.reference_width_80_pct,

        ---------- relative to the reference
        criteria.pinball_gain,
        criteria.coverage_gain,
        criteria.sharpness_gain,

        ---------- score: the samples that do not overlap against those of the prior
        scores.score as raw_score,
        methods.prior_score,
        coalesce(criteria.n_rows, 0) / blocks.horizon_days as n_independent,
        (
            n_independent * coalesce(scores.score, 0) + {{ var('ensemble_prior_samples') }} * methods.prior_score
        ) / (n_independent + {{ var('ensemble_prior_samples') }}) as score,

        ---------- may it be published
        methods.cost,
        evidence.n_compared,
        evidence.mcs_p_value,
        -- where nothing could be compared nothing is ruled out, nor what is new; a method that failed too often to be compared is
        coalesce(
            evidence.is_in_confidence_set, criteria.n_rows is null or was_compared.horizon_days is null
        ) as is_in_confidence_set,
        evidence.dm_statistic,
        evidence.dm_p_value,
        present.ensemble_method is not null as has_forecasts,
        coalesce(criteria.fit_seconds, 0) <= 60 and coalesce(criteria.score_seconds, 0) <= 60 as is_within_limits
    from blocks
    cross join methods
    left join criteria
        on criteria.kind = blocks.kind
        and criteria.fold_start = blocks.fold_start
        and criteria.horizon_days = blocks.horizon_days
        and criteria.ensemble_method = methods.ensemble_method
    left join scores
        on scores.kind = blocks.kind
        and scores.fold_start = blocks.fold_start
        and scores.horizon_days = blocks.horizon_days
        and scores.ensemble_method = methods.ensemble_method
    left join evidence
        on evidence.kind = blocks.kind
        and evidence.fold_start = blocks.fold_start
        and evidence.horizon_days = blocks.horizon_days
        and evidence.ensemble_method = methods.ensemble_method
    left join (select distinct kind, fold_start, horizon_days from evidence) as was_compared
        on was_compared.kind = blocks.kind
        and was_compared.fold_start = blocks.fold_start
        and was_compared.horizon_days = blocks.horizon_days
    left join present
        on present.kind = blocks.kind
        and present.fold_start = blocks.fold_start
        and present.horizon_days = blocks.horizon_days
        and present.ensemble_method = methods.ensemble_method
)

select * from final

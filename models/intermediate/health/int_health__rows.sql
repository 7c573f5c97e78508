-- Rows on which health is evaluated: matured out-of-sample forecasts of each bucket's champion and
-- of the published forecast. They come from the ledgers without hindsight rows, else from the
-- out-of-sample history. Losses in percent of price.
with
targets as (
    select * from {{ ref('int_targets__daily') }}
),

forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where fold_type = 'oof' and status = 'ok' and is_matured
),

-- the history, and later sessions without a build
backtest_forecasts as (
    select * from {{ ref('int_ensemble__published') }}
    where is_matured
),

folds as (
    select distinct horizon_days, fold_start, trained_until
    from {{ ref('int_ensemble__published') }}
    where fold_type = 'oof'
),

-- forecasts for buckets, with the outcome in units of the forecast's own volatility
bucket_forecasts as (
    select
        ledger.* exclude (target_date),
        targets.target_date,
        targets.z_return * targets.horizon_volatility / ledger.horizon_volatility as z_return,
        targets.is_matured
    from {{ ref('bucket_forecast_ledger') }} as ledger
    inner join targets
        using (as_of_date, horizon_days, data_source)
    where targets.is_matured and not ledger.is_hindsight
),

scored_forecasts as (
    select 'ledger' as source, *, {{ row_scores() }}, {{ row_scores('reference_') }}
    from bucket_forecasts
    union all by name
    select 'backtest' as source, forecasts.*
    from forecasts
    inner join {{ ref('int_tournament__choices') }}
        using (bucket, fold_id, horizon_days, family)
),

-- the first version of a day is the one that users saw; rows of another market (the sample's) do
-- not count
ledger_forecasts as (
    select accuracy.*, ledger.reference_p10, ledger.reference_p90, 'ledger' as source
    from {{ ref('zl_forecast_accuracy') }} as accuracy
    inner join {{ ref('zl_forecast_ledger') }} as ledger
        using (as_of_date, horizon_days, model_version, data_source)
    semi join targets
        using (as_of_date, horizon_days, data_source)
    qualify row_number() over (
        partition by as_of_date, horizon_days order by accuracy.made_at, model_version
    ) = 1
),

published_forecasts as (
    select ledger_forecasts.*, folds.fold_start, folds.trained_until
    from ledger_forecasts
    asof left join folds
        on folds.horizon_days = ledger_forecasts.horizon_days
        and ledger_forecasts.as_of_date >= folds.fold_start
    union all by name
    select *, 'backtest' as source from backtest_forecasts
),

subjects as (
    select
        bucket as subject,
        horizon_days,
        horizon_code,
        as_of_date,
        target_date,
        fold_start,
        trained_until,
        family as champion,
        pinball_pct, reference_pinball_pct, reference_width_pct, is_inside_80, source, data_source
    from scored_forecasts
    union all by name
    select
        'published' as subject,
        horizon_days,
        horizon_code,
        as_of_date,
        target_date,
        fold_start,
        trained_until,
        ensemble_method as champion,
        100 * pinball_cents / last_price as pinball_pct,
        100 * reference_pinball_cents / last_price as reference_pinball_pct,
        100 * (reference_p90 - reference_p10) / last_price as reference_width_pct,
        is_inside_80, source, data_source
    from published_forecasts
),

-- Prefer the ledger to the history. After a reselection the history still shows the models that
-- were replaced, so its rows are left out.
relevant_subjects as (
    select * from subjects
    anti join {{ ref('degradations') }} as degradations
        on subjects.source = 'backtest'
        and degradations.bucket = subjects.subject
        and degradations.horizon_days = subjects.horizon_days
        and degradations.data_source = subjects.data_source
        and degradations.acted_on > subjects.fold_start
        and degradations.acted_on <= subjects.as_of_date
    qualify row_number() over (
        partition by subject, as_of_date, horizon_days order by source = 'backtest'
    ) = 1
),

-- The history is refitted once per year, so the test restarts each year. Over the ledger it runs on
-- from the ledger's first year until a degradation leads to a reselection.
final as (
    select
        subjects.*,
        date_trunc('week', subjects.target_date)::date as week_start,
        greatest(
            date_trunc('year', least(
                subjects.fold_start,
                min(case when subjects.source = 'ledger' then subjects.fold_start end) over (
                    partition by subjects.subject, subjects.horizon_days
                )
            ))::date,
            degradations.acted_on
        ) as run_start
    from relevant_subjects as subjects
    asof left join {{ ref('degradations') }} as degradations
        on degradations.bucket = subjects.subject
        and degradations.horizon_days = subjects.horizon_days
        and degradations.data_source = subjects.data_source
        and subjects.fold_start >= degradations.acted_on
)

select * from final

-- What health is judged on: matured out-of-sample forecasts of the family that stood for each
-- bucket, and of the published line (the ledger where forecasts were really made, and not in
-- hindsight; its out-of-sample history elsewhere). Losses in percent of price.
with
targets as (
    select * from {{ ref('int_targets__daily') }}
),

forecasts as (
    select * from {{ ref('int_tournament__forecasts') }}
    where kind = 'oof' and status = 'ok' and is_matured
),

choices as (
    select * from {{ ref('int_tournament__choices') }}
    where kind = 'oof'
),

bucket_ledger as (
    select * from {{ ref('bucket_forecast_ledger') }}
    where not is_hindsight
),

degradations as (
    select * from {{ ref('degradations') }}
),

backtest as (
    select * from {{ ref('zl_backtest') }}
),

-- sessions since the history's end on which no forecast was made
since as (
    select * from {{ ref('int_ensemble__published') }}
    where kind = 'live' and is_matured
),

accuracy as (
    select * from {{ ref('zl_forecast_accuracy') }}
),

ledger as (
    select * from {{ ref('zl_forecast_ledger') }}
),

-- what was forecast, with the outcome in the units that the forecast was made in
made_for_buckets as (
    select
        ledger.* exclude (target_date),
        targets.target_date,
        targets.z * targets.scale / ledger.scale as z,
        true as is_matured
    from bucket_ledger as ledger
    inner join targets
        on targets.as_of_date = ledger.as_of_date
        and targets.horizon_days = ledger.horizon_days
        and targets.data_source = ledger.data_source
    where targets.is_matured
),

scored_for_buckets as (
    select *, {{ row_scores() }}
    from made_for_buckets
),

references_for_buckets as (
    select as_of_date, bucket, horizon_days, data_source, {{ row_scores() }}
    from (select * replace (reference_q10 as q10, reference_q50 as q50, reference_q90 as q90) from made_for_buckets)
),

-- the ledger where forecasts were really made, the out-of-sample history elsewhere
buckets as (
    select
        own.bucket as subject,
        own.horizon_days,
        own.horizon_code,
        own.as_of_date,
        own.target_date,
        own.fold_start,
        own.trained_until,
        own.family as champion,
        own.pinball_pct,
        reference.pinball_pct as reference_pinball_pct,
        reference.width_pct as reference_width_pct,
        own.is_inside_80,
        'ledger' as source,
        own.data_source
    from scored_for_buckets as own
    inner join references_for_buckets as reference
        using (as_of_date, bucket, horizon_days, data_source)
    union all
    select
        own.bucket as subject,
        own.horizon_days,
        own.horizon_code,
        own.as_of_date,
        own.target_date,
        own.fold_start,
        own.trained_until,
        own.family as champion,
        own.pinball_pct,
        reference.pinball_pct as reference_pinball_pct,
        reference.width_pct as reference_width_pct,
        own.is_inside_80,
        'backtest' as source,
        own.data_source
    from forecasts as own
    inner join choices
        on choices.bucket = own.bucket
        and choices.fold_start = own.fold_start
        and choices.horizon_days = own.horizon_days
        and choices.family = own.family
    -- the reference of the bucket's own tournament, which its promise was measured against
    inner join forecasts as reference
        on reference.bucket = own.bucket
        and reference.family = 'reference'
        and reference.fold_start = own.fold_start
        and reference.as_of_date = own.as_of_date
        and reference.horizon_days = own.horizon_days
),

blocks as (
    select distinct horizon_days, fold_start, trained_until from backtest
),

-- the first version of a day is the one that was used; rows of another market (the sample's) are not this line's
made as (
    select
        accuracy.*,
        ledger.reference_p10,
        ledger.reference_p90
    from accuracy
    inner join ledger
        on ledger.as_of_date = accuracy.as_of_date
        and ledger.horizon_days = accuracy.horizon_days
        and ledger.model_version = accuracy.model_version
        and ledger.data_source = accuracy.data_source
    inner join targets
        on targets.as_of_date = accuracy.as_of_date
        and targets.horizon_days = accuracy.horizon_days
        and targets.data_source = accuracy.data_source
    qualify row_number() over (
        partition by accuracy.as_of_date, accuracy.horizon_days order by accuracy.made_at, accuracy.model_version
    ) = 1
),

line as (
    select
        made.horizon_days, made.horizon_code, made.as_of_date, made.target_date, blocks.fold_start, blocks.trained_until,
        made.ensemble_method, made.last_price, made.pinball_cents, made.reference_pinball_cents,
        made.reference_p10, made.reference_p90, made.is_inside_80, 'ledger' as source, made.data_source
    from made
    asof left join blocks
        on blocks.horizon_days = made.horizon_days
        and made.as_of_date >= blocks.fold_start
    union all
    select
        horizon_days, horizon_code, as_of_date, target_date, fold_start, trained_until,
        ensemble_method, last_price, pinball_cents, reference_pinball_cents,
        reference_p10, reference_p90, is_inside_80, 'backtest' as source, data_source
    from backtest
    where realised_price is not null
    union all
    select
        horizon_days, horizon_code, as_of_date, target_date, fold_start, trained_until,
        ensemble_method, last_price,
        {{ price_pinball('p10', 'p50', 'p90') }}, {{ price_pinball('reference_p10', 'reference_p50', 'reference_p90') }},
        reference_p10, reference_p90, is_inside_80, 'backtest' as source, data_source
    from since
),

published as (
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
        is_inside_80,
        source,
        data_source
    from line
),

subjects as (
    select *
    from (
        select * from buckets
        union all
        select * from published
    )
    qualify row_number() over (
        partition by subject, as_of_date, horizon_days order by source = 'backtest'
    ) = 1
),

-- where failing models were replaced, the history goes on with them: that says nothing about those
-- in force
relevant_subjects as (
    select * from subjects
    anti join degradations
        on subjects.source = 'backtest'
        and degradations.bucket = subjects.subject
        and degradations.horizon_days = subjects.horizon_days
        and degradations.data_source = subjects.data_source
        and degradations.acted_on > subjects.fold_start
        and degradations.acted_on <= subjects.as_of_date
),

-- Over the history, refitted once a year, the test begins anew each year. Over what was really forecast it runs on, from the year in which
-- the ledger begins, until models were chosen because the ones before had failed it.
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
    asof left join degradations
        on degradations.bucket = subjects.subject
        and degradations.horizon_days = subjects.horizon_days
        and degradations.data_source = subjects.data_source
        and subjects.fold_start >= degradations.acted_on
)

select * from final

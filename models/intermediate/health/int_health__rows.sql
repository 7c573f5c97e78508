-- What health is judged on: matured out-of-sample forecasts of the family that stood for each bucket, and of the published line (the
-- ledger where forecasts were really made, its out-of-sample history elsewhere). Losses in percent of price.
with
targets as (
    select * from {{ ref('int_targets__daily') }}
),

inputs as (
    select * from {{ ref('int_ensemble__inputs') }}
    where is_matured and input not in ('core', 'reference')
),

backtest as (
    select * from {{ ref('zl_backtest') }}
),

accuracy as (
    select * from {{ ref('zl_forecast_accuracy') }}
),

ledger as (
    select * from {{ ref('zl_forecast_ledger') }}
),

-- out of fold before live: live rows are replaced with every month's fits, and the record of a past week must not change with them
of_buckets as (
    select *
    from inputs
    qualify row_number() over (
        partition by input, as_of_date, horizon_days order by kind = 'live', fold_start
    ) = 1
),

-- the reference of the bucket's own tournament, which its promise was measured against
bucket_references as (
    select * from {{ ref('int_tournament__forecasts') }}
    where family = 'reference' and status = 'ok' and is_matured
),

buckets as (
    select
        own.input as subject,
        own.horizon_days,
        reference.horizon_code,
        own.as_of_date,
        own.target_date,
        own.fold_start,
        own.trained_until,
        own.family as champion,
        own.pinball_pct,
        reference.pinball_pct as reference_pinball_pct,
        100 * reference.scale * (reference.q90 - reference.q10) as reference_width_pct,
        own.is_inside_80,
        'backtest' as source,
        reference.data_source
    from of_buckets as own
    inner join bucket_references as reference
        on reference.bucket = own.input
        and reference.kind = own.kind
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
    qualify row_number() over (partition by as_of_date, horizon_days order by source = 'backtest') = 1
),

final as (
    select *, date_trunc('week', target_date)::date as week_start
    from (
        select * from buckets
        union all
        select * from published
    )
)

select * from final

-- Expected skill of each fold's champion at selection time, as the tournament measured it on
-- out-of-fold rows matured by then, and its spread over single weeks. Uses no row of the fold.
with
folds as (
    select distinct subject, horizon_days, fold_start, trained_until, champion
    from {{ ref('int_health__rows') }}
    where fold_start is not null
),

-- same rows as int_tournament__criteria and int_ensemble__criteria
evidence as (
    select bucket as subject, family as champion, *
    from {{ ref('int_tournament__forecasts') }}
    where fold_type = 'oof' and status = 'ok' and is_matured
    union all by name
    select 'published' as subject, ensemble_method as champion, *
    from {{ ref('int_ensemble__forecasts') }}
    where
        fold_type = 'oof'
        and status = 'ok'
        and is_matured
        and fold_number >= {{ threshold('first_scored_fold') }}
),

past as (
    select
        folds.*,
        date_trunc('week', evidence.target_date) as week,
        evidence.pinball_pct,
        evidence.reference_pinball_pct,
        evidence.reference_width_pct
    from folds
    inner join evidence
        on evidence.subject = folds.subject
        and evidence.champion = folds.champion
        and evidence.horizon_days = folds.horizon_days
        and evidence.fold_start < folds.fold_start
        and evidence.target_date < folds.trained_until
),

expectations as (
    select
        subject,
        horizon_days,
        fold_start,
        champion,
        count(*) as n_rows,
        1 - avg(pinball_pct) / avg(reference_pinball_pct) as expected_skill
    from past
    group by subject, horizon_days, fold_start, champion
),

weeks as (
    select
        subject,
        horizon_days,
        fold_start,
        champion,
        expectations.n_rows,
        expectations.expected_skill,
        avg(
            (past.pinball_pct - (1 - expectations.expected_skill) * past.reference_pinball_pct)
            / past.reference_width_pct
        ) as excess
    from past
    inner join expectations
        using (subject, horizon_days, fold_start, champion)
    group by
        subject,
        horizon_days,
        fold_start,
        champion,
        expectations.n_rows,
        expectations.expected_skill,
        past.week
)

select
    subject,
    horizon_days,
    fold_start,
    champion,
    n_rows,
    expected_skill,
    count(*) as n_weeks,
    stddev_samp(excess) as weekly_spread
from weeks
group by subject, horizon_days, fold_start, champion, n_rows, expected_skill

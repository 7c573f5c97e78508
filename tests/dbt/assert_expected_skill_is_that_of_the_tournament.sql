-- The expected skill in health equals the skill that the tournament measured at selection, on the
-- same rows, for buckets and the published forecast.
with
criteria as (
    select bucket as subject, horizon_days, fold_start, family as champion, n_rows, pinball_skill
    from {{ ref('int_tournament__criteria') }}
    where fold_type = 'oof'
    union all
    select
        'published' as subject,
        horizon_days,
        fold_start,
        ensemble_method as champion,
        n_rows,
        pinball_skill
    from {{ ref('int_ensemble__criteria') }}
    where fold_type = 'oof' and n_rows > 0
)

select expectations.*, criteria.n_rows as n_rows_in_tournament, criteria.pinball_skill
from {{ ref('int_health__expected_skill') }} as expectations
left join criteria
    using (subject, horizon_days, fold_start, champion)
where
    expectations.fold_start in (
        select fold_start from {{ ref('int_tournament__choices') }} where fold_type = 'oof'
    )
    and (
        expectations.n_rows = criteria.n_rows
        and abs(expectations.expected_skill - criteria.pinball_skill) < 1e-9
    ) is not true

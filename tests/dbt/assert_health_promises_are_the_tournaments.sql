-- What health holds a model to is what the tournament had measured when it chose it: same rows, same gain, for buckets and the published line.
with
criteria as (
    select bucket as subject, horizon_days, fold_start, family as champion, n_rows, pinball_gain
    from {{ ref('int_tournament__criteria') }}
    where kind = 'oof'
    union all
    select 'published' as subject, horizon_days, fold_start, ensemble_method as champion, n_rows, pinball_gain
    from {{ ref('int_ensemble__criteria') }}
    where kind = 'oof' and n_rows > 0
)

select promises.*, criteria.n_rows as n_rows_in_tournament, criteria.pinball_gain
from {{ ref('int_health__promises') }} as promises
left join criteria
    using (subject, horizon_days, fold_start, champion)
where promises.fold_start in (select fold_start from {{ ref('int_tournament__choices') }} where kind = 'oof')
    and (promises.n_rows = criteria.n_rows and abs(promises.promised_gain - criteria.pinball_gain) < 1e-9) is not true

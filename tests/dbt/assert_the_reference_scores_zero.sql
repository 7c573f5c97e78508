-- Scores are relative to the reference, so its own are zero: over all rows, over the regime's and
-- blended. Fails with rows that are not zero.
select bucket, fold_type, fold_start, horizon_days, score_all, score_regime, selection_score
from {{ ref('int_tournament__criteria') }}
where family = 'reference'
    and (abs(score_all) > 1e-12 or abs(score_regime) > 1e-12 or abs(selection_score) > 1e-12)

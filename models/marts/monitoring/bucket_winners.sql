-- Current champion of each bucket, its margin, and whether the bucket has shown skill. One row per
-- bucket and horizon.
with
choices as (
    select * from {{ ref('int_tournament__choices') }}
    where fold_type = 'live'
),

verdicts as (
    select * from {{ ref('verdicts') }}
),

sources as (
    select any_value(data_source) as data_source from {{ ref('int_tournament__forecasts') }}
),

family_verdicts as (
    select * from {{ ref('int_tournament__verdicts') }}
),

horizons as (
    select * from {{ ref('horizons') }}
),

final as (
    select
        choices.bucket,
        horizon_days,
        horizons.horizon_code,
        choices.family as winner,
        choices.runner_up,
        choices.selection_score,
        choices.margin,
        choices.regime,
        choices.regime_weight,
        choices.n_rows,
        choices.pinball_skill as winner_pinball_skill,
        choices.coverage_80 as winner_coverage_80,
        family_verdicts.verdict as winner_verdict,
        family_verdicts.p_value_holm as winner_p_value_holm,
        verdicts.verdict,
        verdicts.p_value,
        verdicts.pinball_skill as backtest_pinball_skill,
        verdicts.control_skill,
        verdicts.coverage_80 as backtest_coverage_80,
        choices.trained_until,
        sources.data_source
    from choices
    inner join horizons
        using (horizon_days)
    cross join sources
    left join verdicts
        on verdicts.subject = choices.bucket
        and verdicts.horizon_days = choices.horizon_days
    left join family_verdicts
        on family_verdicts.bucket = choices.bucket
        and family_verdicts.family = choices.family
        and family_verdicts.horizon_days = choices.horizon_days
)

select * from final

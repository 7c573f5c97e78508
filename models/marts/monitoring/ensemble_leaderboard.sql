-- Ensemble methods over all matured rows, the published one first, with the evidence and the
-- reason. One row per method and horizon.
with
criteria as (
    select * from {{ ref('int_ensemble__criteria') }}
    where fold_type = 'live'
    qualify fold_start = max(fold_start) over ()
),

choices as (
    select horizon_days, ensemble_method as chosen_method from {{ ref('int_ensemble__choices') }}
    where fold_type = 'live'
    qualify fold_start = max(fold_start) over ()
),

fallbacks as (
    select horizon_days, reason as fallback_reason from {{ ref('int_ensemble__fallbacks') }}
    where is_fallback
),

methods as (
    select ensemble_method, label from {{ ref('ensemble_methods') }}
),

newest as (
    select
        ensemble_method,
        horizon_days,
        any_value(status) as status,
        any_value(reason) as status_reason,
        any_value(shrinkage_weight) as shrinkage_weight,
        any_value(data_source) as data_source
    from {{ ref('int_ensemble__forecasts') }}
    where fold_type = 'live'
    group by ensemble_method, horizon_days
),

methods_with_status as (
    select
        criteria.*,
        methods.label,
        newest.status,
        newest.status_reason,
        newest.shrinkage_weight,
        newest.data_source,
        choices.chosen_method,
        criteria.ensemble_method = choices.chosen_method as is_chosen,
        fallbacks.fallback_reason,
        case when fallback_reason is null then is_chosen
            else criteria.ensemble_method = 'reference_alone' end as is_published,
        case
            when not criteria.has_forecasts then 'no_forecast'
            when not criteria.is_within_limits then 'too_slow'
            when criteria.benchmark_p_value_holm < {{ threshold('ensemble_evidence_level') }}
                then 'candidate'
            when criteria.ensemble_method = 'average' then 'default'
            when criteria.ensemble_method = 'reference_alone' then 'reference'
            else 'not_proven'
        end as selection_status
    from criteria
    inner join choices
        using (horizon_days)
    left join fallbacks
        using (horizon_days)
    inner join methods
        using (ensemble_method)
    left join newest
        using (ensemble_method, horizon_days)
),

with_codes as (
    select
        *,
        case
            when is_published and fallback_reason is not null then 'method_fallback'
            when is_chosen and fallback_reason is not null then 'method_suspended'
            when selection_status = 'no_forecast' and status_reason is not null
                then 'method_failed'
            when selection_status = 'no_forecast' then 'method_no_forecast'
            when selection_status = 'too_slow' then 'method_too_slow'
            when is_published and selection_status = 'candidate' then 'method_published'
            when is_published and selection_status = 'default' then 'method_default'
            when is_published then 'method_only_one'
            when selection_status = 'candidate' then 'method_candidate'
            when selection_status = 'default' then 'method_default_left'
            when benchmark_p_value_holm is null then 'method_not_compared'
            when benchmark_skill < 0 then 'method_worse'
            else 'method_not_proven'
        end as reason_code
    from methods_with_status
),

final as (
    select
        horizon_days::integer as horizon_days,
        horizon_code,
        row_number() over (
            partition by horizon_days
            order by
                is_published desc,
                selection_status = 'candidate' desc,
                selection_status = 'default' desc,
                selection_status = 'reference' desc,
                benchmark_p_value_holm asc nulls last,
                complexity_rank asc,
                ensemble_method asc
        )::integer as rank,
        ensemble_method,
        label,
        is_published,
        selection_status,
        n_rows,
        n_independent,
        pinball_pct,
        pinball_skill,
        carry_skill,
        rmse_pct,
        coverage_50,
        coverage_80,
        coverage_90,
        width_80_pct,
        relative_width_80,
        fit_seconds,
        score_seconds,
        complexity_rank,
        benchmark,
        benchmark_skill,
        benchmark_p_value_holm,
        dm_p_value,
        shrinkage_weight,
        reason_code,
        {{ reason_text(
            ['reason_code'],
            numbers={
                'skill': '100 * abs(benchmark_skill)', 'p_value': 'benchmark_p_value_holm',
                'level': threshold('ensemble_evidence_level')
            },
            texts={
                'chosen_method': 'chosen_method', 'fallback_reason': 'fallback_reason',
                'benchmark': "coalesce(benchmark, 'average')",
                'status': 'status', 'lost_reason': 'status_reason'
            }
        ) }} as reason,
        data_source
    from with_codes
)

select * from final

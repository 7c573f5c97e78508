-- Where the ensemble methods stand today, over all that has matured: one row a method and horizon, in the order in which they are
-- considered, with the reason in words.
with
criteria as (
    select * from {{ ref('int_ensemble__criteria') }}
    where kind = 'live'
    qualify fold_start = max(fold_start) over ()
),

choices as (
    select * from {{ ref('int_ensemble__choices') }}
    where kind = 'live'
    qualify fold_start = max(fold_start) over ()
),

fallbacks as (
    select * from {{ ref('int_ensemble__fallbacks') }}
    where is_fallback
),

methods as (
    select * from {{ ref('ensemble_methods') }}
),

newest as (
    select
        ensemble_method,
        horizon_days,
        any_value(status) as status,
        any_value(reason) as reason,
        any_value(share) as share,
        any_value(data_source) as data_source
    from {{ ref('int_ensemble__forecasts') }}
    where kind = 'live'
    group by ensemble_method, horizon_days
),

judged as (
    select
        criteria.*,
        methods.label,
        newest.status,
        newest.reason,
        newest.share,
        newest.data_source,
        choices.ensemble_method as chosen_method,
        criteria.ensemble_method = choices.ensemble_method as is_chosen,
        fallbacks.reason as fallback_reason,
        case when fallback_reason is null then is_chosen else criteria.ensemble_method = 'reference_alone' end as is_published,
        case
            when criteria.ensemble_method = 'reference_alone' then 'reference'
            when not criteria.has_forecasts then 'no_forecast'
            when not criteria.is_within_limits then 'too_slow'
            when not criteria.is_in_confidence_set then 'ruled_out'
            when criteria.score <= {{ var('ensemble_min_gain') }} then 'not_better'
            else 'candidate'
        end as standing
    from criteria
    inner join choices
        on choices.horizon_days = criteria.horizon_days
    left join fallbacks
        on fallbacks.horizon_days = criteria.horizon_days
    inner join methods
        on methods.ensemble_method = criteria.ensemble_method
    left join newest
        on newest.ensemble_method = criteria.ensemble_method
        and newest.horizon_days = criteria.horizon_days
),

final as (
    select
        horizon_days::integer as horizon_days,
        horizon_code,
        row_number() over (
            partition by horizon_days order by standing <> 'candidate', standing <> 'reference', cost, score desc, ensemble_method
        )::integer as place,
        ensemble_method,
        label,
        is_published,
        standing,
        n_rows,
        n_independent,
        pinball_pct,
        pinball_gain,
        rmse_pct,
        coverage_50,
        coverage_80,
        coverage_90,
        width_80_pct,
        1 - sharpness_gain as relative_width_80,
        fit_seconds,
        score_seconds,
        coverage_gain,
        sharpness_gain,
        raw_score,
        prior_score,
        score,
        cost,
        mcs_p_value,
        is_in_confidence_set,
        dm_p_value,
        share,
        case
            when is_published and fallback_reason is not null then format('fallback: {} stands above it, but {}', chosen_method, fallback_reason)
            when is_chosen and fallback_reason is not null then format(
                'score {:+.4f}, chosen, but the reference is published until its calibration recovers', score
            )
            when is_published and standing = 'reference' then 'published: no combination in the confidence set stands above it'
            when is_published then format(
                'published: the least costly of those in the confidence set above the reference, score {:+.4f}', score
            )
            when standing = 'candidate' then format('score {:+.4f}, but {} has less to learn or scores higher', score, chosen_method)
            when standing = 'reference' then format('{} stands above it', chosen_method)
            when standing = 'not_better' then format('score {:+.4f} is not above {{ var("ensemble_min_gain") }}', score)
            when standing = 'ruled_out' then
                coalesce(format('out of the confidence set, p {:.2f}', mcs_p_value), 'too few rows to compare: it failed too often')
            when standing = 'too_slow' then 'takes more than a minute a block'
            else coalesce(status || ': ' || reason, 'no forecast in the newest block')
        end as why,
        data_source
    from judged
)

select * from final

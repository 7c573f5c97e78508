-- Calibration test of the published forecast: if its 80 % band covers too few of the newest
-- outcomes and the reference's is nearer to 80 % by a margin, today's forecast falls back to the
-- reference. The test continues on the selected methods during a fallback, so the forecast recovers
-- by itself. One row per horizon, as of the newest session.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
    -- as in int_ensemble__chosen, without fallbacks
    where
        is_matured
        and (fold_type = 'live' or fold_number >= {{ threshold('first_published_fold') }})
),

choices as (
    select * from {{ ref('int_ensemble__choices') }}
),

floors as (
    select * from {{ ref('calibration_floors') }}
),

horizons as (
    select * from {{ ref('horizons') }}
),

active_methods as (
    select * from choices
    where fold_type = 'live'
    qualify fold_start = max(fold_start) over ()
),

newest as (
    select forecasts.*
    from forecasts
    inner join choices
        using (fold_id, horizon_days, ensemble_method)
    inner join floors
        using (horizon_days)
    qualify row_number() over (
        partition by horizon_days order by forecasts.as_of_date desc
    ) <= floors.window_sessions
),

coverages as (
    select
        horizon_days,
        count(*) as n_rows,
        avg(is_inside_80::int) as coverage_80,
        avg(reference_is_inside_80::int) as reference_coverage_80
    from newest
    group by horizon_days
),

calibration_tests as (
    select
        horizons.horizon_days,
        horizons.horizon_code,
        active_methods.ensemble_method,
        coalesce(coverages.n_rows, 0) as n_rows,
        coverages.coverage_80,
        coverages.reference_coverage_80,
        floors.coverage_floor,
        floors.window_sessions,
        coverages.n_rows >= floors.window_sessions
        and coverages.coverage_80 < floors.coverage_floor as has_failed,
        -- do not fall back if the reference missed just as badly
        abs(coverages.coverage_80 - 0.8) - abs(coverages.reference_coverage_80 - 0.8)
        >= floors.margin as is_reference_nearer,
        floors.margin
    from horizons
    left join floors
        using (horizon_days)
    left join coverages
        using (horizon_days)
    left join active_methods
        using (horizon_days)
),

final as (
    select
        * exclude (has_failed, is_reference_nearer, margin),
        coalesce(
            has_failed and is_reference_nearer and ensemble_method <> 'reference_alone', false
        ) as is_fallback,
        case
            when n_rows < window_sessions then 'calibration_not_evaluated'
            else 'calibration_covered'
        end as reason_code,
        {{ reason_text(
            [
                'reason_code',
                "case
                    when n_rows < window_sessions then null
                    when has_failed and ensemble_method = 'reference_alone'
                        then 'calibration_and_reference_selected'
                    when has_failed and not is_reference_nearer
                        then 'calibration_and_reference_no_nearer'
                end"
            ],
            numbers={
                'n_rows': 'n_rows', 'window_sessions': 'window_sessions',
                'coverage': '100 * coverage_80', 'floor': '100 * coverage_floor',
                'reference_coverage': '100 * reference_coverage_80', 'margin': '100 * margin'
            }
        ) }} as reason
    from calibration_tests
)

select * from final

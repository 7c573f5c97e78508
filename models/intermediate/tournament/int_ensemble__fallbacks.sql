-- Has the calibration of the published line failed? Where its 80 % band covers too little of the newest outcomes and the reference's clearly
-- more, today's forecast falls back to the reference. Judged on the line of chosen methods, which goes on meanwhile: it recovers by itself.
-- One row a horizon, as of the newest session.
with
forecasts as (
    select * from {{ ref('int_ensemble__forecasts') }}
    where (kind = 'live' or block_number >= 3) and is_matured  -- what int_ensemble__chosen has, but for fallbacks
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

in_force as (
    select * from choices
    where kind = 'live'
    qualify fold_start = max(fold_start) over ()
),

newest as (
    select
        forecasts.*,
        forecasts.z between forecasts.reference_q10 and forecasts.reference_q90 as reference_is_inside_80
    from forecasts
    inner join choices
        on choices.kind = forecasts.kind
        and choices.fold_start = forecasts.fold_start
        and choices.horizon_days = forecasts.horizon_days
        and choices.ensemble_method = forecasts.ensemble_method
    inner join floors
        on floors.horizon_days = forecasts.horizon_days
    qualify row_number() over (
        partition by forecasts.horizon_days order by forecasts.as_of_date desc
    ) <= floors.window_sessions
),

covered as (
    select
        horizon_days,
        count(*) as n_rows,
        avg(is_inside_80::int) as coverage_80,
        avg(reference_is_inside_80::int) as reference_coverage_80
    from newest
    group by horizon_days
),

judged as (
    select
        horizons.horizon_days,
        horizons.horizon_code,
        in_force.ensemble_method,
        coalesce(covered.n_rows, 0) as n_rows,
        covered.coverage_80,
        covered.reference_coverage_80,
        floors.coverage_floor,
        floors.window_sessions,
        covered.n_rows >= floors.window_sessions and covered.coverage_80 < floors.coverage_floor as has_failed,
        -- what surprised both is no reason to change: who misses as much helps nobody
        abs(covered.coverage_80 - 0.8) - abs(covered.reference_coverage_80 - 0.8) >= floors.margin as is_reference_nearer,
        floors.margin
    from horizons
    left join floors
        on floors.horizon_days = horizons.horizon_days
    left join covered
        on covered.horizon_days = horizons.horizon_days
    left join in_force
        on in_force.horizon_days = horizons.horizon_days
),

final as (
    select
        horizon_days,
        horizon_code,
        ensemble_method,
        n_rows,
        coverage_80,
        reference_coverage_80,
        coverage_floor,
        window_sessions,
        coalesce(has_failed and is_reference_nearer and ensemble_method <> 'reference_alone', false) as is_fallback,
        case
            when n_rows < window_sessions then format('not judged: {} of {} outcomes are known', n_rows, window_sessions)
            else format(
                'the 80 % band covered {:.1f} % of the last {} outcomes, the floor is {:.0f} %; the reference covered {:.1f} %',
                100 * coverage_80, n_rows, 100 * coverage_floor, 100 * reference_coverage_80
            )
            || case
                when has_failed and ensemble_method = 'reference_alone' then ', and stands chosen'
                when has_failed and not is_reference_nearer then format(', not {:.0f} points nearer to 80 %', 100 * margin)
                else ''
            end
        end as reason
    from judged
)

select * from final

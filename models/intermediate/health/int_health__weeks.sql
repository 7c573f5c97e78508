-- Sequential test: Page's CUSUM (1954, Biometrika 41, 100-115) of the weekly loss in excess of the
-- expected loss. It restarts after a reselection for degradation and, in the history, each year
-- (int_health__rows). Monthly refits share one run, each with its own expected skill, because a
-- test restarted each month would detect nothing. One row per subject, horizon and week in which
-- forecasts matured.
with
rows as (
    select * from {{ ref('int_health__rows') }}
),

expectations as (
    select * exclude (n_rows) from {{ ref('int_health__expected_skill') }}
),

limits as (
    select * from {{ ref('health_thresholds') }}
),

-- relative to the band known at the forecast, so that a volatile month does not dominate
excess as (
    select
        subject,
        horizon_days,
        week_start,
        run_start,
        fold_start,
        champion,
        expectations.expected_skill,
        expectations.weekly_spread,
        expectations.n_weeks as n_expected_skill_weeks,
        count(*) as n_rows,
        avg(
            (rows.pinball_pct - (1 - expectations.expected_skill) * rows.reference_pinball_pct)
            / rows.reference_width_pct
        ) as excess,
        -- all rows that matured in the week
        sum(count(*)) over week as n_matured,
        sum(count(*) filter (where rows.source = 'ledger')) over week as n_ledger,
        sum(count(*) filter (where rows.is_inside_80)) over week as n_inside_80,
        sum(sum(rows.pinball_pct)) over week as pinball,
        sum(sum(rows.reference_pinball_pct)) over week as reference_pinball
    from rows
    left join expectations
        using (subject, horizon_days, fold_start, champion)
    group by
        subject, horizon_days, week_start, run_start, fold_start, champion,
        expectations.expected_skill, expectations.weekly_spread, expectations.n_weeks
    window week as (partition by subject, horizon_days, week_start)
    -- if two folds share a week, test the newer fold's rows
    qualify row_number() over (
        partition by subject, horizon_days, week_start order by max(rows.as_of_date) desc
    ) = 1
),

standardised_weeks as (
    select
        excess.*,
        limits.allowance,
        limits.watch_at,
        limits.degraded_at,
        -- with fewer weeks the error of the expected skill exceeds the breaks to be detected
        coalesce(
            n_expected_skill_weeks >= {{ threshold('min_expected_skill_weeks') }}, false
        ) as is_evaluated,
        case when n_expected_skill_weeks >= {{ threshold('min_expected_skill_weeks') }}
            then excess / greatest(weekly_spread, limits.spread_floor)
        end as x,
        coalesce(
            run_start is distinct from lag(run_start)
                over (partition by subject, horizon_days order by week_start),
            true
        ) as is_new
    from excess
    left join limits
        using (horizon_days)
),

runs as (
    select
        *,
        sum(is_new::int) over (partition by subject, horizon_days order by week_start) as run_number
    from standardised_weeks
),

running_sums as (
    select
        *,
        sum(coalesce(x - allowance, 0)) over run as total,
        row_number() over run as weeks_in_run
    from runs
    window run as (partition by subject, horizon_days, run_number order by week_start)
),

with_statistics as (
    select
        * exclude (is_new, total),
        -- C_t - min(0, C_1 ... C_t) equals Page's recursion max(0, S + x - k)
        total
        - least(
            0, min(total) over (partition by subject, horizon_days, run_number order by week_start)
        ) as statistic
    from running_sums
),

final as (
    select
        *,
        -- the week after the statistic was last zero
        coalesce(
            max(case when statistic <= 0 then week_start end) over run + 7, min(week_start) over run
        )::date as evidence_from
    from with_statistics
    window run as (partition by subject, horizon_days, run_number order by week_start)
)

select * from final

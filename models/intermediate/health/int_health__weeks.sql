-- The sequential test: Page's CUSUM (1954, Biometrika 41, 100-115) of the weekly excess loss over what was promised, begun anew with
-- models that replaced failing ones (and each year of the history, see int_health__rows). The monthly refits in between have each their
-- own promise and one test together: begun anew each month it would find nothing, each January little of what began in autumn.
-- One row a subject, horizon and week in which forecasts matured.
{% set min_weeks = 104 %}  {# of the promise's rows; with fewer its error is larger than the breaks looked for #}
with
rows as (
    select * from {{ ref('int_health__rows') }}
),

promises as (
    select * from {{ ref('int_health__promises') }}
),

thresholds as (
    select * from {{ ref('health_thresholds') }}
),

-- relative to the band known at the forecast, so that a wild month does not outweigh the others
excess as (
    select
        rows.subject,
        rows.horizon_days,
        rows.week_start,
        rows.run_start,
        rows.fold_start,
        rows.champion,
        promises.promised_gain,
        promises.weekly_spread,
        promises.n_weeks as n_promise_weeks,
        count(*) as n_rows,
        avg(
            (rows.pinball_pct - (1 - promises.promised_gain) * rows.reference_pinball_pct) / rows.reference_width_pct
        ) as excess
    from rows
    left join promises
        using (subject, horizon_days, fold_start, champion)
    group by
        rows.subject, rows.horizon_days, rows.week_start, rows.run_start, rows.fold_start, rows.champion,
        promises.promised_gain, promises.weekly_spread, promises.n_weeks
    -- where two blocks meet in a week, the newer one's rows
    qualify row_number() over (
        partition by rows.subject, rows.horizon_days, rows.week_start order by max(rows.as_of_date) desc
    ) = 1
),

standardised as (
    select
        excess.*,
        thresholds.allowance,
        thresholds.watch_at,
        thresholds.degraded_at,
        case when n_promise_weeks >= {{ min_weeks }} then excess / greatest(weekly_spread, thresholds.spread_floor) end as x,
        coalesce(
            run_start is distinct from lag(run_start) over (partition by subject, excess.horizon_days order by week_start), true
        ) as is_new
    from excess
    left join thresholds
        on thresholds.horizon_days = excess.horizon_days
),

runs as (
    select
        *,
        sum(is_new::int) over (partition by subject, horizon_days order by week_start) as run_number
    from standardised
),

summed as (
    select
        *,
        sum(coalesce(x - allowance, 0)) over (
            partition by subject, horizon_days, run_number order by week_start
        ) as total,
        row_number() over (partition by subject, horizon_days, run_number order by week_start) as weeks_judged
    from runs
),

judged as (
    select
        *,
        -- C_t - min(0, C_1 ... C_t): what Page's recursion max(0, S + x - k) gives, without a recursion
        total - least(0, min(total) over (partition by subject, horizon_days, run_number order by week_start)) as statistic
    from summed
),

final as (
    select
        subject,
        horizon_days,
        week_start,
        run_start,
        fold_start,
        champion,
        promised_gain,
        n_promise_weeks,
        weekly_spread,
        n_rows,
        excess,
        x,
        run_number,
        weeks_judged,
        statistic,
        -- the week after the last in which there was no evidence: since then losses have piled up
        coalesce(
            max(case when statistic <= 0 then week_start end) over run + 7, min(week_start) over run
        )::date as evidence_from,
        allowance,
        watch_at,
        degraded_at
    from judged
    window run as (partition by subject, horizon_days, run_number order by week_start)
)

select * from final

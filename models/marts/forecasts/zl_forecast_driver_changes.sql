-- Which drivers moved the forecast since the session before and since a week ago. One row per
-- horizon, comparison and driver.
with
changes as (
    select * from {{ ref('zl_forecast_changes') }}
),

drivers as (
    select * from {{ ref('zl_forecast_drivers') }}
),

-- only of the forecast that was published then; another version's drivers are not known
earlier_drivers as (
    select
        changes.horizon_days,
        changes.compared_with,
        contributions.driver,
        contributions.p10_cents,
        contributions.p50_cents,
        contributions.p90_cents
    from changes
    inner join {{ ref('int_ensemble__drivers') }} as contributions
        on contributions.as_of_date = changes.earlier_as_of_date
        and contributions.horizon_days = changes.horizon_days
        and contributions.model_version = changes.earlier_model_version
),

-- a driver without a row contributed nothing
comparisons as (
    select distinct horizon_days, compared_with from earlier_drivers
),

todays_drivers as (
    select comparisons.compared_with, drivers.*
    from comparisons
    inner join drivers
        using (horizon_days)
),

labels as (
    select driver, driver_type, label from {{ ref('drivers') }}
    union all
    select bucket as driver, 'bucket' as driver_type, label from {{ ref('buckets') }}
),

final as (
    select
        ---------- key
        changes.as_of_date,
        horizon_days,
        changes.horizon_code,
        compared_with,
        driver,

        ---------- names
        changes.earlier_as_of_date,
        labels.driver_type,
        labels.label,

        ---------- contributions to the median
        coalesce(todays_drivers.p50_cents, 0) as p50_cents,
        coalesce(earlier_drivers.p50_cents, 0) as earlier_p50_cents,

        ---------- changes
        {% for level in ['10', '50', '90'] -%}
        coalesce(todays_drivers.p{{ level }}_cents, 0)
        - coalesce(earlier_drivers.p{{ level }}_cents, 0) as p{{ level }}_cents_change,
        {% endfor -%}
        changes.data_source
    from todays_drivers
    full join earlier_drivers
        using (horizon_days, compared_with, driver)
    inner join changes
        using (horizon_days, compared_with)
    left join labels
        using (driver)
)

select * from final
order by horizon_days asc, compared_with asc, abs(p50_cents_change) desc, driver asc

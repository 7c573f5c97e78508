-- Why today's forecast is what it is: contributions of the ensemble's inputs and of corrections to
-- P10, P50 and P90, in cents/lb. One row per horizon and driver.
{% set least = threshold('min_effect_cents') %}
with
contributions as (
    select * from {{ ref('int_ensemble__drivers') }}
),

forecasts as (
    select * from {{ ref('zl_forecast') }}
),

inputs as (
    select input as driver, as_of_date, horizon_days, p10, p50, p90
    from {{ ref('ensemble_inputs') }}
    where fold_type = 'live'
),

labels as (
    select driver, driver_type, label from {{ ref('drivers') }}
    union all
    select bucket as driver, 'bucket' as driver_type, label from {{ ref('buckets') }}
),

drivers as (
    select
        contributions.*,
        forecasts.horizon_code,
        forecasts.target_date,
        forecasts.last_price,
        forecasts.ensemble_method,
        forecasts.fallback_reason,
        forecasts.data_source,
        labels.driver_type,
        labels.label,
        inputs.p10 as input_p10,
        inputs.p50 as input_p50,
        inputs.p90 as input_p90,
        abs(contributions.p50_cents) as size,
        case
            when abs(contributions.weight) >= 0.005 then 'driver_with_weight'
            else 'driver_without_weight'
        end as subject_code,
        case
            when labels.driver_type = 'rest' then 'driver_of_all'
            when labels.driver_type in ('reference', 'fallback', 'correction')
                then 'driver_of_bands'
            when size < {{ least }} then 'median_unchanged'
            when contributions.p50_cents > 0 then 'median_lifted'
            else 'median_lowered'
        end as effect_code
    from contributions
    inner join forecasts
        using (as_of_date, horizon_days)
    left join labels
        using (driver)
    left join inputs
        on inputs.as_of_date = contributions.as_of_date
        and inputs.horizon_days = contributions.horizon_days
        and inputs.driver = case
            when contributions.driver = 'fallback' then 'reference' else contributions.driver
        end
),

final as (
    select
        ---------- key
        as_of_date,
        horizon_days::integer as horizon_days,
        horizon_code,
        target_date,
        driver,
        driver_type,
        label,
        row_number() over (
            partition by horizon_days
            order by
                list_position(['reference', 'fallback', 'correction', 'rest'], driver_type)
                    asc nulls first,
                -- rounded, because the last digits depend on the order of threads
                round(size, 9) desc,
                driver asc
        )::integer as rank,

        ---------- the input
        weight,
        input_p10,
        input_p50,
        input_p90,

        ---------- what it contributes
        p10_cents,
        p50_cents,
        p90_cents,
        size / nullif(sum(size) over (partition by horizon_days), 0) as share,

        ---------- the forecast
        last_price,
        ensemble_method,
        {{ reason_text(
            ['subject_code', 'effect_code'],
            numbers={
                'weight': '100 * weight', 'median_cents': 'abs(p50_cents)',
                'p10_cents': 'p10_cents', 'p50_cents': 'p50_cents', 'p90_cents': 'p90_cents'
            },
            texts={'driver': 'label'}
        ) }}
        || case when driver_type = 'fallback' then ': ' || fallback_reason else '' end
            as explanation,
        data_source
    from drivers
)

select * from final
order by horizon_days, rank

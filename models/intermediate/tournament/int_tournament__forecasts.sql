-- Every forecast of every family in every bucket and of the core, out of fold and live, with its target and its scores.
with
forecasts as (
    select * from {{ ref('core_zl') }}
    {% for bucket in var('buckets') -%}
    union all
    select * from {{ ref('specialist_' ~ bucket) }}
    {% endfor %}
),

targets as (
    select * from {{ ref('int_targets__daily') }}
),

joined as (
    select
        forecasts.* replace (
            forecasts.as_of_date::date as as_of_date,
            forecasts.fold_start::date as fold_start,
            forecasts.trained_until::date as trained_until,
            nullif(forecasts.reason, '') as reason
        ),
        targets.horizon_code,
        targets.target_date,
        targets.last_price,
        targets.scale,
        targets.is_matured,
        targets.realised_price,
        targets.z,
        targets.data_source
    from forecasts
    inner join targets
        on targets.as_of_date = forecasts.as_of_date
        and targets.horizon_days = forecasts.horizon_days
),

final as (
    select *, {{ row_scores() }}
    from joined
)

select * from final

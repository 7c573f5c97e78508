-- Tariff bucket: trade and economic policy uncertainty, the decaying effect of policy events,
-- soybeans relative to corn.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide(['USEPUINDXD', 'TPU_BBD_DAILY', 'GPRD', 'ECB_EURUSD', 'ECB_EURCNY']) }}
),

events as (
    {{ event_memory('tariff', [10, 42, 252]) }}
),

levels as (
    select
        prices.*,
        reports.latest_series_on,
        events.* exclude (as_of_date),
        {{ safe_ln('1 + usepuindxd') }} as log_epu,
        {{ safe_ln('1 + tpu_bbd_daily') }} as log_tpu,
        {{ safe_ln('1 + gprd') }} as log_gpr,
        {{ safe_ln('ecb_eurcny / ecb_eurusd') }} as log_usdcny,
        zs_log_index - zc_log_index as zs_zc_index,
        zs_log_return - zc_log_return as zs_zc_return
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
    left join events
        on events.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        avg(log_epu) {{ trailing(5) }} as epu_level_5,
        avg(log_epu) {{ trailing(21) }} as epu_level_21,
        {{ zscore('log_epu', 252) }} as epu_zscore_252,
        avg(log_epu) {{ trailing(21) }} - avg(log_epu) {{ trailing(252) }} as epu_change_21_252,
        avg(log_tpu) {{ trailing(5) }} as tpu_level_5,
        avg(log_tpu) {{ trailing(21) }} as tpu_level_21,
        {{ zscore('log_tpu', 252) }} as tpu_zscore_252,
        avg(log_tpu) {{ trailing(21) }} - avg(log_tpu) {{ trailing(252) }} as tpu_change_21_252,
        avg(log_gpr) {{ trailing(21) }} as gpr_level_21,
        {{ zscore('log_gpr', 252) }} as gpr_zscore_252,
        memory_10 as policy_tariff_memory_10,
        memory_42 as policy_tariff_memory_42,
        memory_252 as policy_tariff_memory_252,
        days_since_event as policy_tariff_days_since_event,
        zs_zc_index - {{ ago('zs_zc_index', 5) }} as cbot_zs_zc_change_5,
        zs_zc_index - {{ ago('zs_zc_index', 21) }} as cbot_zs_zc_change_21,
        zs_zc_index - {{ ago('zs_zc_index', 63) }} as cbot_zs_zc_change_63,
        stddev_samp(zs_zc_return) {{ trailing(21) }} as cbot_zs_zc_volatility_21,
        {{ momentum('fx_6m', 21) }} as cme_6m_momentum_21,
        {{ momentum('he', 21) }} as cme_he_momentum_21,
        log_usdcny - {{ ago('log_usdcny', 21) }} as ecb_usdcny_change_21,
        greatest(latest_bar_on, latest_series_on, latest_event_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}

-- China bucket: copper as a measure of Chinese demand, the yuan, soybean imports, hogs,
-- trade-policy events.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide([
        'ECB_EURUSD', 'ECB_EURCNY', 'WASDE_CN_SB_IMPORTS_NEW', 'WASDE_US_SB_EXPORTS_NEW', 'GPRD'
    ]) }}
),

events as (
    {{ event_memory('tariff', [21, 126]) }}
),

levels as (
    select
        prices.*,
        reports.latest_series_on,
        events.* exclude (as_of_date),
        {{ safe_ln('ecb_eurcny / ecb_eurusd') }} as log_usdcny,
        wasde_cn_sb_imports_new as cn_imports,
        wasde_us_sb_exports_new as us_exports,
        {{ safe_ln('1 + gprd') }} as log_gpr,
        {{ safe_ln('hg_close / zs_close') }} as log_hg_zs,
        {{ safe_ln('hg_close / gc_close') }} as log_hg_gc
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
    left join events
        on events.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        {{ momentum('hg', 5) }} as comex_hg_momentum_5,
        {{ momentum('hg', 21) }} as comex_hg_momentum_21,
        {{ momentum('hg', 63) }} as comex_hg_momentum_63,
        {{ trailing_corr('hg_log_return', 'zs_log_return', 63) }} as comex_hg_zs_corr_63,
        {{ trailing_corr('hg_log_return', 'zs_log_return', 252) }} as comex_hg_zs_corr_252,
        {{ trailing_corr('hg_log_return', 'zl_log_return', 63) }} as comex_hg_zl_corr_63,
        {{ zscore('log_hg_zs', 126) }} as comex_hg_zs_ratio_zscore_126,
        {{ zscore('log_hg_gc', 126) }} as comex_hg_gc_ratio_zscore_126,
        stddev_samp(hg_log_return) {{ trailing(21) }} as comex_hg_volatility_21,
        {{ momentum('zs', 5) }} as cbot_zs_momentum_5,
        {{ momentum('zs', 63) }} as cbot_zs_momentum_63,
        {{ momentum('he', 21) }} as cme_he_momentum_21,
        log_usdcny - {{ ago('log_usdcny', 5) }} as ecb_usdcny_change_5,
        log_usdcny - {{ ago('log_usdcny', 21) }} as ecb_usdcny_change_21,
        log_usdcny - {{ ago('log_usdcny', 126) }} as ecb_usdcny_change_126,
        {{ zscore('log_usdcny', 252) }} as ecb_usdcny_zscore_252,
        cn_imports / nullif({{ ago('cn_imports', 252) }}, 0) - 1 as usda_cn_imports_growth_252,
        cn_imports - {{ ago('cn_imports', 21) }} as usda_cn_imports_change_21,
        us_exports / nullif({{ ago('us_exports', 63) }}, 0) - 1 as usda_us_exports_growth_63,
        {{ zscore('log_gpr', 252) }} as gpr_zscore_252,
        memory_21 as policy_tariff_memory_21,
        memory_126 as policy_tariff_memory_126,
        days_since_event as policy_tariff_days_since_event,
        greatest(latest_bar_on, latest_series_on, latest_event_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}

-- Crush bucket: the crush margin, oil's share of the products' value, fund positions, tightness of
-- stocks.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide([
        'COT_LEG_FUT_007601_NONCOMM_NET', 'COT_LEG_FUT_007601_OI',
        'COT_LEG_FUT_005602_NONCOMM_NET', 'COT_LEG_FUT_005602_OI',
        'COT_LEG_FUT_026603_NONCOMM_NET', 'COT_LEG_FUT_026603_OI',
        'WASDE_US_SBO_ENDING_STOCKS_NEW', 'WASDE_US_SBO_USE_TOTAL_NEW',
        'WASDE_US_SB_ENDING_STOCKS_NEW', 'WASDE_US_SB_USE_TOTAL_NEW',
    ]) }}
),

levels as (
    select
        prices.*,
        latest_series_on,
        -- 44 lb of meal (0.022 short tons) and 11 lb of oil from a bushel of 60 lb
        zm_close * 0.022 + zl_close * 0.11 - zs_close / 100 as board_crush,
        zl_close * 0.11 / nullif(zm_close * 0.022 + zl_close * 0.11, 0) as oil_share,
        zl_close / nullif(zs_close, 0) as zl_zs_ratio,
        zl_close / nullif(zm_close, 0) as zl_zm_ratio,
        cot_leg_fut_007601_noncomm_net / nullif(cot_leg_fut_007601_oi, 0) as zl_net_share,
        cot_leg_fut_005602_noncomm_net / nullif(cot_leg_fut_005602_oi, 0) as zs_net_share,
        cot_leg_fut_026603_noncomm_net / nullif(cot_leg_fut_026603_oi, 0) as zm_net_share,
        wasde_us_sbo_ending_stocks_new / nullif(wasde_us_sbo_use_total_new, 0) as sbo_stocks_to_use,
        wasde_us_sb_ending_stocks_new / nullif(wasde_us_sb_use_total_new, 0) as sb_stocks_to_use
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        board_crush as cbot_crush_margin_usd_per_bu,
        {{ zscore('board_crush', 63) }} as cbot_crush_margin_zscore_63,
        {{ zscore('board_crush', 252) }} as cbot_crush_margin_zscore_252,
        board_crush - {{ ago('board_crush', 21) }} as cbot_crush_margin_change_21,
        oil_share as cbot_zl_oil_share,
        {{ zscore('oil_share', 63) }} as cbot_zl_oil_share_zscore_63,
        {{ zscore('oil_share', 126) }} as cbot_zl_oil_share_zscore_126,
        {{ zscore('oil_share', 252) }} as cbot_zl_oil_share_zscore_252,
        oil_share - {{ ago('oil_share', 5) }} as cbot_zl_oil_share_change_5,
        oil_share - {{ ago('oil_share', 21) }} as cbot_zl_oil_share_change_21,
        {{ zscore('zl_zs_ratio', 126) }} as cbot_zl_zs_ratio_zscore_126,
        {{ zscore('zl_zm_ratio', 126) }} as cbot_zl_zm_ratio_zscore_126,
        {{ momentum('zs', 21) }} as cbot_zs_momentum_21,
        {{ momentum('zm', 21) }} as cbot_zm_momentum_21,
        {{ trailing_corr('zl_log_return', 'zs_log_return', 63) }} as cbot_zl_zs_corr_63,
        {{ trailing_corr('zl_log_return', 'zm_log_return', 63) }} as cbot_zl_zm_corr_63,
        zl_net_share as cftc_zl_net_share,
        {{ zscore('zl_net_share', 252) }} as cftc_zl_net_share_zscore_252,
        zl_net_share - {{ ago('zl_net_share', 20) }} as cftc_zl_net_share_change_20,
        zs_net_share as cftc_zs_net_share,
        zm_net_share as cftc_zm_net_share,
        sbo_stocks_to_use as usda_sbo_stocks_to_use,
        sbo_stocks_to_use - {{ ago('sbo_stocks_to_use', 60) }} as usda_sbo_stocks_to_use_change_60,
        sb_stocks_to_use as usda_sb_stocks_to_use,
        greatest(latest_bar_on, latest_series_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}

-- Biofuel bucket: value of soybean oil as diesel (BOHO), RIN prices, corn and ethanol economics,
-- the RFS calendar, competing oils.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide([
        'EPA_RIN_D4_CURR', 'EPA_RIN_D6_CURR', 'WASDE_US_SBO_BIOFUEL_NEW',
        'WASDE_US_SBO_USE_TOTAL_NEW',
        'WB_PALM_OIL', 'WB_SOYBEAN_OIL', 'WB_RAPESEED_OIL',
    ]) }}
),

definitions as (
    {{ series_definitions(['WB_PALM_OIL', 'WB_SOYBEAN_OIL']) }}
),

events as (
    {{ event_memory('biofuel', [42]) }}
),

levels as (
    select
        prices.*,
        reports.* exclude (as_of_date),
        definitions.n_definitions,
        events.* exclude (as_of_date),
        -- 7.5 lb of oil to a gallon: cents/lb * 0.075 is USD/gal
        zl_close * 0.075 - ho_close as boho,
        {{ safe_ln('zl_close * 0.075 / ho_close') }} as log_zl_ho,
        {{ safe_ln('zc_close / 100 / rb_close') }} as log_corn_gasoline,
        wasde_us_sbo_biofuel_new / nullif(wasde_us_sbo_use_total_new, 0) as biofuel_share,
        {{ safe_ln('wb_palm_oil / wb_soybean_oil') }} as log_palm_soy,
        {{ safe_ln('wb_rapeseed_oil / wb_soybean_oil') }} as log_rape_soy,
        -- the EPA must publish next year's volumes by 30 November (Clean Air Act 211(o)(3)(B))
        (
            make_date(
                year(prices.as_of_date)
                + (prices.as_of_date > make_date(year(prices.as_of_date), 11, 30))::int,
                11,
                30
            )
            - prices.as_of_date) as days_to_rvo
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
    left join definitions
        on definitions.as_of_date = prices.as_of_date
    left join events
        on events.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        boho as nymex_boho_usd_per_gal,
        {{ zscore('boho', 63) }} as nymex_boho_zscore_63,
        {{ zscore('boho', 252) }} as nymex_boho_zscore_252,
        boho - {{ ago('boho', 5) }} as nymex_boho_change_5,
        boho - {{ ago('boho', 21) }} as nymex_boho_change_21,
        {{ zscore('log_zl_ho', 252) }} as nymex_zl_ho_ratio_zscore_252,
        {{ momentum('ho', 21) }} as nymex_ho_momentum_21,
        {{ momentum('rb', 21) }} as nymex_rb_momentum_21,
        {{ trailing_corr('ho_log_return', 'zl_log_return', 63) }} as nymex_ho_zl_corr_63,
        {{ momentum('zc', 21) }} as cbot_zc_momentum_21,
        {{ zscore('log_corn_gasoline', 126) }} as cbot_corn_gasoline_zscore_126,
        {{ trailing_corr('zc_log_return', 'zl_log_return', 63) }} as cbot_zc_zl_corr_63,
        epa_rin_d4_curr as epa_d4_usd_per_rin,
        epa_rin_d4_curr - {{ ago('epa_rin_d4_curr', 20) }} as epa_d4_change_20,
        {{ zscore('epa_rin_d4_curr', 252) }} as epa_d4_zscore_252,
        epa_rin_d6_curr as epa_d6_usd_per_rin,
        epa_rin_d6_curr - {{ ago('epa_rin_d6_curr', 20) }} as epa_d6_change_20,
        epa_rin_d4_curr - epa_rin_d6_curr as epa_d4_d6_spread,
        biofuel_share as usda_sbo_biofuel_share,
        biofuel_share - {{ ago('biofuel_share', 60) }} as usda_sbo_biofuel_share_change_60,
        log_palm_soy as worldbank_palm_soy_log_ratio,
        -- a step between two definitions of a price is no change of it
        case when n_definitions = {{ ago('n_definitions', 63) }}
            then log_palm_soy - {{ ago('log_palm_soy', 63) }}
        end as worldbank_palm_soy_change_63,
        log_rape_soy as worldbank_rape_soy_log_ratio,
        days_to_rvo as rfs_days_to_rvo_deadline,
        memory_42 as policy_biofuel_memory_42,
        greatest(latest_bar_on, latest_series_on, latest_event_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}

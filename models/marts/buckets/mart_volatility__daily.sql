-- Volatility bucket: volatility of ZL by several measures, volatility of volatility, stress in
-- other markets. Trading volume is named volume_*.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

zl as (
    select * from {{ ref('int_volatility__zl') }}
),

volumes as (
    select as_of_date, {{ safe_ln('1 + volume') }} as log_volume from {{ ref('int_prices__daily') }}
    where symbol = 'zl'
),

reports as (
    {{ series_wide(['VIXCLS', 'STLFSI4', 'NFCI']) }}
),

levels as (
    select
        prices.*,
        zl.* exclude (as_of_date),
        volumes.log_volume,
        reports.latest_series_on,
        {{ safe_ln('vixcls') }} as log_vix,
        stlfsi4,
        nfci,
        {{ safe_ln('ewma_volatility') }} as log_sigma,
        {{ safe_ln('volatility_21') }} as log_volatility_21,
        {{ safe_ln('volatility_5') }} as log_volatility_5
    from prices
    left join zl
        on zl.as_of_date = prices.as_of_date
    left join volumes
        on volumes.as_of_date = prices.as_of_date
    left join reports
        on reports.as_of_date = prices.as_of_date
),

features as (
    select
        as_of_date,
        log_sigma as volatility_zl_log_sigma,
        {{ zscore('log_sigma', 504) }} as volatility_zl_sigma_zscore_504,
        log_sigma - {{ ago('log_sigma', 21) }} as volatility_zl_sigma_change_21,
        {{ safe_ln('parkinson_21 / volatility_21') }} as volatility_zl_parkinson_ratio_21,
        {{ safe_ln('garman_klass_21 / volatility_21') }} as volatility_zl_garman_klass_ratio_21,
        {{ safe_ln('parkinson_21 / ewma_volatility') }} as volatility_zl_parkinson_sigma_ratio_21,
        stddev_samp(log_volatility_5) {{ trailing(63) }} as volatility_zl_of_volatility_63,
        {{ zscore('log_volatility_21', 252) }} as volatility_zl_realised_zscore_252,
        skewness(zl_log_return) {{ trailing(63) }} as volatility_zl_skewness_63,
        sqrt(
            avg(pow(case when zl_log_return < 0 then zl_log_return else 0 * zl_log_return end, 2))
                {{ trailing(63) }}
        )
            / nullif(
                sqrt(avg(pow(zl_log_return, 2)) {{ trailing(63) }}), 0
            ) as volatility_zl_downside_share_63,
        max(abs(zl_log_return)) {{ trailing(21) }}
        / nullif(any_value(volatility_63) {{ trailing(1) }}, 0) as volatility_zl_largest_move_21,
        {{ zscore('log_volume', 63) }} as volume_zl_zscore_63,
        stddev_samp(zs_log_return) {{ trailing(21) }} as volatility_zs_21,
        stddev_samp(cl_log_return) {{ trailing(21) }} as volatility_cl_21,
        stddev_samp(es_log_return) {{ trailing(21) }} as volatility_es_21,
        stddev_samp(hg_log_return) {{ trailing(21) }} as volatility_hg_21,
        log_vix as volatility_vix_log,
        log_vix - {{ ago('log_vix', 5) }} as volatility_vix_change_5,
        {{ zscore('log_vix', 252) }} as volatility_vix_zscore_252,
        stlfsi4 as fred_stlfsi4,
        nfci as fred_nfci,
        {{ trailing_corr('es_log_return', 'zl_log_return', 63) }} as cme_es_zl_corr_63,
        greatest(latest_bar_on, latest_series_on) as latest_input_on
    from levels
),

{{ bucket_mart() }}

-- Energy bucket: crude, heating oil, gasoline, gas; crack spreads; how tightly ZL follows crude.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

levels as (
    select
        *,
        -- 42 gallons to a barrel
        (2 * rb_close * 42 + ho_close * 42 - 3 * cl_close) / 3 as crack_321,
        ho_close * 42 - cl_close as ho_crack,
        bz_close - cl_close as brent_wti,
        {{ safe_ln('cl_close') }} as log_cl
    from prices
),

features as (
    select
        as_of_date,
        {% for sessions in [5, 10, 21, 63, 252] -%}
        {{ momentum('cl', sessions) }} as nymex_cl_momentum_{{ sessions }},
        {% endfor -%}
        {{ momentum('ho', 5) }} as nymex_ho_momentum_5,
        {{ momentum('ho', 63) }} as nymex_ho_momentum_63,
        {{ momentum('rb', 5) }} as nymex_rb_momentum_5,
        {{ momentum('rb', 63) }} as nymex_rb_momentum_63,
        {{ momentum('ng', 21) }} as nymex_ng_momentum_21,
        {{ momentum('ng', 63) }} as nymex_ng_momentum_63,
        stddev_samp(cl_log_return) {{ trailing(21) }} as nymex_cl_volatility_21,
        stddev_samp(cl_log_return) {{ trailing(63) }} as nymex_cl_volatility_63,
        stddev_samp(ng_log_return) {{ trailing(21) }} as nymex_ng_volatility_21,
        {{ zscore('log_cl', 126) }} as nymex_cl_zscore_126,
        crack_321 as nymex_crack_321_usd_per_bbl,
        {{ zscore('crack_321', 126) }} as nymex_crack_321_zscore_126,
        ho_crack as nymex_ho_crack_usd_per_bbl,
        {{ zscore('ho_crack', 126) }} as nymex_ho_crack_zscore_126,
        brent_wti as nymex_brent_wti_usd_per_bbl,
        brent_wti - {{ ago('brent_wti', 21) }} as nymex_brent_wti_change_21,
        {{ trailing_corr('cl_log_return', 'zl_log_return', 21) }} as nymex_cl_zl_corr_21,
        {{ trailing_corr('cl_log_return', 'zl_log_return', 63) }} as nymex_cl_zl_corr_63,
        covar_samp(zl_log_return, cl_log_return) {{ trailing(63) }}
            / nullif(var_samp(cl_log_return) {{ trailing(63) }}, 0) as nymex_cl_zl_beta_63,
        latest_bar_on as latest_input_on
    from levels
),

{{ bucket_mart() }}

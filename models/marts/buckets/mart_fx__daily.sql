-- FX bucket: currencies of countries that grow, crush and buy oilseeds, against the dollar. Up
-- means a stronger foreign currency.
{%- set currencies = ['brl', 'cny', 'mxn', 'myr', 'aud', 'cad'] %}
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide([
        'ECB_EURUSD', 'ECB_EURBRL', 'ECB_EURCNY', 'ECB_EURMXN', 'ECB_EURMYR', 'ECB_EURAUD',
        'ECB_EURCAD', 'DTWEXBGS'
    ]) }}
),

levels as (
    select
        prices.*,
        latest_series_on,
        {% for currency in currencies -%}
        {{ safe_ln('ecb_eurusd / ecb_eur' ~ currency) }} as {{ currency }}_log_index,
        {% endfor -%}
        {{ safe_ln('ecb_eurusd') }} as eur_log_index,
        {{ safe_ln('dtwexbgs') }} as log_dollar,
        {{ safe_ln('zs_close * ecb_eurbrl / ecb_eurusd') }} as log_zs_brl
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
),

returns as (
    select
        *,
        {% for currency in currencies + ['eur'] -%}
        {{ currency }}_log_index
        - {{ ago(currency ~ '_log_index', 1) }} as {{ currency }}_log_return
        {{- "," if not loop.last }}
        {% endfor %}
    from levels
),

features as (
    select
        as_of_date,
        {% for currency in currencies + ['eur'] -%}
        {{ momentum(currency, 21) }} as ecb_{{ currency }}_momentum_21,
        {% endfor -%}
        {{ momentum('brl', 5) }} as ecb_brl_momentum_5,
        {{ momentum('brl', 63) }} as ecb_brl_momentum_63,
        {{ momentum('brl', 252) }} as ecb_brl_momentum_252,
        {{ momentum('myr', 63) }} as ecb_myr_momentum_63,
        {{ momentum('fx_6l', 21) }} as cme_6l_momentum_21,
        {{ momentum('fx_6a', 5) }} as cme_6a_momentum_5,
        stddev_samp(brl_log_return) {{ trailing(21) }} as ecb_brl_volatility_21,
        stddev_samp(brl_log_return) {{ trailing(63) }} as ecb_brl_volatility_63,
        stddev_samp(mxn_log_return) {{ trailing(63) }} as ecb_mxn_volatility_63,
        stddev_samp(eur_log_return) {{ trailing(63) }} as ecb_eur_volatility_63,
        {{ trailing_corr('brl_log_return', 'zl_log_return', 63) }} as ecb_brl_zl_corr_63,
        {{ trailing_corr('aud_log_return', 'zl_log_return', 63) }} as ecb_aud_zl_corr_63,
        {{ trailing_corr('cad_log_return', 'zl_log_return', 63) }} as ecb_cad_zl_corr_63,
        log_dollar - {{ ago('log_dollar', 21) }} as fred_dollar_change_21,
        log_dollar - {{ ago('log_dollar', 126) }} as fred_dollar_change_126,
        {{ zscore('log_dollar', 252) }} as fred_dollar_zscore_252,
        log_zs_brl - {{ ago('log_zs_brl', 21) }} as brazil_zs_terms_of_trade_change_21,
        {{ zscore('log_zs_brl', 252) }} as brazil_zs_terms_of_trade_zscore_252,
        greatest(latest_bar_on, latest_series_on) as latest_input_on
    from returns
),

{{ bucket_mart() }}

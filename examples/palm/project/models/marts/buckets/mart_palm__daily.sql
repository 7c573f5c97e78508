-- Palm bucket: palm oil, which buyers take in place of soybean oil where it is cheaper.
with
prices as (
    select * from {{ ref('int_prices__wide') }}
),

reports as (
    {{ series_wide(['BURSA_FCPO', 'ECB_EURMYR', 'ECB_EURUSD']) }}
),

levels as (
    select
        prices.as_of_date,
        prices.latest_bar_on,
        reports.latest_series_on,
        {{ safe_ln('bursa_fcpo * ecb_eurusd / ecb_eurmyr') }} as palm_log_index,  -- USD/t
        {{ safe_ln('zl_close * 22.0462') }} as zl_log_price  -- USD/t
    from prices
    left join reports
        on reports.as_of_date = prices.as_of_date
),

returns as (
    select
        *,
        palm_log_index - {{ ago('palm_log_index', 1) }} as palm_log_return,
        palm_log_index - zl_log_price as log_ratio
    from levels
),

features as (
    select
        as_of_date,
        {{ momentum('palm', 5) }} as bursa_fcpo_momentum_5,
        {{ momentum('palm', 21) }} as bursa_fcpo_momentum_21,
        {{ zscore('log_ratio', 126) }} as bursa_fcpo_zl_ratio_zscore_126,
        greatest(latest_bar_on, latest_series_on) as latest_input_on
    from returns
),

{{ bucket_mart() }}

-- The base block of every bucket mart: ZL's volatility relative to the scaling volatility (for mean
-- reversion), season, ZL's own momentum and regime.
with
volatility as (
    select * from {{ ref('int_volatility__zl') }}
    where ewma_volatility > 0
),

prices as (
    select as_of_date, zl_log_index, zl_log_return, latest_bar_on from {{ ref('int_prices__wide') }}
),

momenta as (
    select
        as_of_date,
        latest_bar_on,
        {% for sessions in [5, 21, 63, 252] -%}
        {{ momentum('zl', sessions) }} as base_zl_momentum_{{ sessions }}
        {{- "," if not loop.last }}
        {% endfor %}
    from prices
),

regimes as (
    select * from {{ ref('int_regimes__daily') }}
),

final as (
    select
        volatility.as_of_date,
        {% for sessions in [5, 21, 63, 252] -%}
        {{ safe_ln('volatility.volatility_' ~ sessions ~ ' / volatility.ewma_volatility') }}
            as base_zl_volatility_ratio_{{ sessions }},
        {% endfor -%}
        {% for sessions in [5, 21, 63, 252] -%}
        momenta.base_zl_momentum_{{ sessions }},
        {% endfor -%}
        sin(2 * pi() * dayofyear(volatility.as_of_date) / 365.25) as base_season_sin_1,
        cos(2 * pi() * dayofyear(volatility.as_of_date) / 365.25) as base_season_cos_1,
        sin(4 * pi() * dayofyear(volatility.as_of_date) / 365.25) as base_season_sin_2,
        cos(4 * pi() * dayofyear(volatility.as_of_date) / 365.25) as base_season_cos_2,
        regimes.regime_code as base_regime_code,
        momenta.latest_bar_on
    from volatility
    inner join momenta
        on momenta.as_of_date = volatility.as_of_date
    inner join regimes
        on regimes.as_of_date = volatility.as_of_date
)

select * from final

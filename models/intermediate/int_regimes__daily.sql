-- CALM, STRESSED or CRISIS: the gravest regime of which either threshold (VIX level, or z-score of ZL's realised volatility
-- over two years) is reached. Thresholds in seeds/regimes.csv; trailing data only.
with
vix as (
    {{ series_wide(['VIXCLS']) }}
),

volatility as (
    select
        as_of_date,
        {{ zscore(safe_ln('volatility_21'), 504) }} as volatility_zscore
    from {{ ref('int_volatility__zl') }}
),

thresholds as (
    select * from {{ ref('regimes') }}
),

final as (
    select
        volatility.as_of_date,
        any_value(vix.vixcls) as vix,
        any_value(volatility.volatility_zscore) as volatility_zscore,
        max(thresholds.regime_code) as regime_code,
        arg_max(thresholds.regime, thresholds.regime_code) as regime
    from volatility
    left join vix
        on vix.as_of_date = volatility.as_of_date
    inner join thresholds
        on thresholds.regime_code = 0
        or vix.vixcls >= thresholds.vix_at_least
        or volatility.volatility_zscore >= thresholds.volatility_zscore_at_least
    group by volatility.as_of_date
)

select * from final

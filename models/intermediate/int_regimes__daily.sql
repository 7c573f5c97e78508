-- CALM, STRESSED or CRISIS: the most severe regime with either threshold reached (VIX level, or
-- z-score of ZL's realised volatility over two years). Thresholds are in seeds/regimes.csv; all
-- data are known at the session's close. A break is the first session that is not CALM after a long
-- calm, or the first CRISIS after a long time without one. The second rule catches a crisis that
-- builds up: before March 2020 the regime was STRESSED now and then from December on.
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

levels as (
    select * from {{ ref('regimes') }}
),

regimes as (
    select
        volatility.as_of_date,
        any_value(vix.vixcls) as vix,
        any_value(volatility.volatility_zscore) as volatility_zscore,
        max(levels.regime_code) as regime_code,
        arg_max(levels.regime, levels.regime_code) as regime
    from volatility
    left join vix
        on vix.as_of_date = volatility.as_of_date
    inner join levels
        on levels.regime_code = 0
        or vix.vixcls >= levels.vix_at_least
        or volatility.volatility_zscore >= levels.volatility_zscore_at_least
    group by volatility.as_of_date
),

numbered_sessions as (
    select
        *,
        row_number() over (order by as_of_date) as session_number,
        (
            regime <> 'CALM'
            and count(*) filter (where regime = 'CALM') over quiet
                = {{ threshold('min_quiet_sessions') }}
        )
        or (
            regime = 'CRISIS'
            and count(*) filter (where regime <> 'CRISIS') over quiet
                = {{ threshold('min_quiet_sessions') }}
        ) as is_break
    from regimes
    window quiet as (
        order by as_of_date
        -- noqa: disable=PRS
        rows between {{ threshold('min_quiet_sessions') }}::integer preceding and 1 preceding
        -- noqa: enable=PRS
    )
),

final as (
    select
        * exclude (session_number),
        session_number - max(session_number) filter (where is_break) over (
            order by as_of_date rows between unbounded preceding and current row
        ) as sessions_since_break
    from numbered_sessions
)

select
    *,
    coalesce(sessions_since_break < {{ threshold('after_break_sessions') }}, false)
        as is_after_break
from final

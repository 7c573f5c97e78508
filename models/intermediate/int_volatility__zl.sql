-- Volatilities of ZL per session, in log return per session, from roll-adjusted returns and from
-- the day's range. ewma_volatility is the scaling volatility: exponentially weighted (RiskMetrics
-- 1996, ch. 5) over at most 252 sessions, with ewma_decay of seeds/thresholds.csv.
with
prices as (
    select * from {{ ref('int_prices__daily') }}
    where symbol = 'zl' and log_return is not null
),

windows as (
    select
        as_of_date,
        log_return,
        list(log_return * log_return) over (
            order by as_of_date rows between 251 preceding and current row
        ) as squares,
        {{ safe_ln('high / low') }} as log_range,
        {{ safe_ln('close / open') }} as log_body,
        volume
    from prices
),

decay as (
    select {{ threshold('ewma_decay') }} as value
),

weighted_windows as (
    select
        * exclude (squares),
        len(squares) as n_returns,
        list_transform(range(len(squares)), lambda age: pow(decay.value, len(squares) - 1 - age))
            as weights,
        squares
    from windows
    cross join decay
),

final as (
    select
        as_of_date,
        log_return,
        case when n_returns >= 60
            then sqrt(list_inner_product(squares, weights) / list_sum(weights))
        end as ewma_volatility,
        {% for sessions in [5, 21, 63, 252] -%}
        case when n_returns >= {{ sessions }}
            then nullif(sqrt(avg(log_return * log_return) {{ trailing(sessions) }}), 0)
        end as volatility_{{ sessions }},
        {% endfor -%}
        case when n_returns >= 21
            then nullif(sqrt(avg(log_range * log_range) {{ trailing(21) }} / (4 * ln(2))), 0)
        end as parkinson_21,
        case when n_returns >= 21
            then
                nullif(
                    sqrt(
                        greatest(
                            avg(
                                0.5 * log_range * log_range - (2 * ln(2) - 1) * log_body * log_body
                            ) {{ trailing(21) }},
                            0
                        )
                    ),
                    0
                )
        end as garman_klass_21
    from weighted_windows
)

select * from final

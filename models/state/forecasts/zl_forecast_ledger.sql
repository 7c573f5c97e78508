-- Every forecast ever made, append-only: rows are never changed. zl_forecast_accuracy scores them.
with
published_forecasts as (
    select * from {{ ref('int_ensemble__published') }}
    where fold_type = 'live'
),

verdicts as (
    select * from {{ ref('verdicts') }}
    where subject = 'published'
),

regimes as (
    select * from {{ ref('int_regimes__daily') }}
),

newest_sessions as (
    select * from {{ ref('int_calendar__newest_seen') }}
),

newest as (
    select
        published_forecasts.*,
        trim(regexp_replace(
            published_forecasts.inputs, '\b(carry|core|linear|reference)\b ?', '', 'g'
        )) as buckets,
        verdicts.verdict,
        verdicts.pinball_skill,
        verdicts.coverage_80,
        regimes.regime
    from published_forecasts
    left join verdicts
        on verdicts.horizon_days = published_forecasts.horizon_days
    left join regimes
        on regimes.as_of_date = published_forecasts.as_of_date
    where published_forecasts.as_of_date = (select max(as_of_date) from published_forecasts)
),

final as (
    select
        ---------- key
        as_of_date,
        horizon_days,
        model_version,
        data_source,

        ---------- target
        horizon_code,
        target_date,
        last_price,

        ---------- forecast, cents/lb
        p05, p10, p25, p50, p75, p90, p95,
        prob_up,

        ---------- method and track record
        ensemble_method,
        fallback_reason,
        shrinkage_weight,
        case when ensemble_method = 'reference_alone' then '' else buckets end as buckets_used,
        buckets as buckets_offered,  -- without buckets outside var buckets or in quarantine
        -- no skill without a matured history; the reference has no skill over itself
        case
            when ensemble_method = 'reference_alone' then 'no_skill' else
                coalesce(verdict, 'no_skill')
        end as verdict,
        pinball_skill as backtest_pinball_skill,
        coverage_80 as backtest_coverage_80,
        reference_p10,
        reference_p50,
        reference_p90,
        regime,

        ---------- when it was made
        as_of_date < (select newest_seen_on from newest_sessions) as is_hindsight,
        timezone('UTC', now())::timestamp as made_at
    from newest
)

select * from final
{{ append_once(['as_of_date', 'horizon_days', 'model_version', 'data_source']) }}

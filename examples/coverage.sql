-- Coverage of the published ranges, recomputed from prices: fraction of outcomes inside P10 to P90
-- and P05 to P95, by horizon, beside the reference's and the published figure.
--
-- n_independent is what the rows are worth: neighbouring forecasts share most of their outcome.
-- With fewer than 60, calibration_state is cannot_tell unless the band fails. For coverage by year
-- add year(backtest.as_of_date) to both lists.
select
    backtest.horizon_code,
    count(*) as n_forecasts,
    count(*) / backtest.horizon_days as n_independent,
    avg((backtest.realised_price between backtest.p10 and backtest.p90)::integer) as coverage_80,
    any_value(verdicts.coverage_80) as published_coverage_80,
    avg((backtest.realised_price between backtest.p05 and backtest.p95)::integer) as coverage_90,
    avg(
        (backtest.realised_price between backtest.reference_p10 and backtest.reference_p90)::integer
    ) as reference_coverage_80,
    any_value(forecast.calibration_state) as calibration_state
from forecasts.zl_backtest as backtest
inner join monitoring.verdicts as verdicts
    on verdicts.horizon_days = backtest.horizon_days and verdicts.subject = 'published'
inner join forecasts.zl_forecast as forecast
    on forecast.horizon_days = backtest.horizon_days
where backtest.realised_price is not null
group by backtest.horizon_code, backtest.horizon_days
order by backtest.horizon_days;

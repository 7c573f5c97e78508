"""Publishes what BI reads, last of all. The work is in zl_forecast.publish; `make exposures` writes the refs."""

from zl_forecast.publish import publish, read_descriptions


def model(dbt, session):
    dbt.config(materialized="table")
    return publish(
        {
            "forecasts.bucket_forecast_ledger": dbt.ref("bucket_forecast_ledger"),
            "forecasts.ensemble_inputs": dbt.ref("ensemble_inputs"),
            "forecasts.specialist_forecasts": dbt.ref("specialist_forecasts"),
            "forecasts.zl_backtest": dbt.ref("zl_backtest"),
            "forecasts.zl_forecast": dbt.ref("zl_forecast"),
            "forecasts.zl_forecast_accuracy": dbt.ref("zl_forecast_accuracy"),
            "forecasts.zl_forecast_ledger": dbt.ref("zl_forecast_ledger"),
            "forecasts.zl_paths": dbt.ref("zl_paths"),
            "forecasts.zl_prices": dbt.ref("zl_prices"),
            "forecasts.zl_risk": dbt.ref("zl_risk"),
            "monitoring.bucket_winners": dbt.ref("bucket_winners"),
            "monitoring.calibration": dbt.ref("calibration"),
            "monitoring.coverage_tests": dbt.ref("coverage_tests"),
            "monitoring.degradations": dbt.ref("degradations"),
            "monitoring.ensemble_leaderboard": dbt.ref("ensemble_leaderboard"),
            "monitoring.ensemble_results": dbt.ref("ensemble_results"),
            "monitoring.ensemble_weights": dbt.ref("ensemble_weights"),
            "monitoring.feature_attributions": dbt.ref("feature_attributions"),
            "monitoring.forecast_explanations": dbt.ref("forecast_explanations"),
            "monitoring.gx_results": dbt.ref("gx_results"),
            "monitoring.health_history": dbt.ref("health_history"),
            "monitoring.input_agreement": dbt.ref("input_agreement"),
            "monitoring.landing_files": dbt.ref("landing_files"),
            "monitoring.landing_findings": dbt.ref("landing_findings"),
            "monitoring.leaderboard": dbt.ref("leaderboard"),
            "monitoring.model_health": dbt.ref("model_health"),
            "monitoring.model_registry": dbt.ref("model_registry"),
            "monitoring.pit_histogram": dbt.ref("pit_histogram"),
            "monitoring.promotions": dbt.ref("promotions"),
            "monitoring.reliability": dbt.ref("reliability"),
            "monitoring.run_history": dbt.ref("run_history"),
            "monitoring.run_plan": dbt.ref("run_plan"),
            "monitoring.tournament_results": dbt.ref("tournament_results"),
            "monitoring.verdicts": dbt.ref("verdicts"),
        },
        read_descriptions(session),
    )

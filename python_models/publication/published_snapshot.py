"""Publishes what BI reads, last of all. The work is in zl_forecast.publish."""

from zl_forecast.publish import publish


def model(dbt, session):
    dbt.config(materialized="table")
    return publish(
        {
            "forecasts.zl_forecast": dbt.ref("zl_forecast"),
            "forecasts.zl_forecast_ledger": dbt.ref("zl_forecast_ledger"),
            "forecasts.zl_forecast_accuracy": dbt.ref("zl_forecast_accuracy"),
            "forecasts.zl_backtest": dbt.ref("zl_backtest"),
            "forecasts.zl_prices": dbt.ref("zl_prices"),
            "forecasts.zl_risk": dbt.ref("zl_risk"),
            "forecasts.zl_paths": dbt.ref("zl_paths"),
            "forecasts.bucket_forecast_ledger": dbt.ref("bucket_forecast_ledger"),
            "forecasts.specialist_forecasts": dbt.ref("specialist_forecasts"),
            "monitoring.tournament_results": dbt.ref("tournament_results"),
            "monitoring.bucket_winners": dbt.ref("bucket_winners"),
            "monitoring.leaderboard": dbt.ref("leaderboard"),
            "monitoring.feature_attributions": dbt.ref("feature_attributions"),
            "monitoring.forecast_explanations": dbt.ref("forecast_explanations"),
            "monitoring.ensemble_results": dbt.ref("ensemble_results"),
            "monitoring.ensemble_leaderboard": dbt.ref("ensemble_leaderboard"),
            "monitoring.ensemble_weights": dbt.ref("ensemble_weights"),
            "monitoring.calibration": dbt.ref("calibration"),
            "monitoring.reliability": dbt.ref("reliability"),
            "monitoring.pit_histogram": dbt.ref("pit_histogram"),
            "monitoring.coverage_tests": dbt.ref("coverage_tests"),
            "monitoring.gx_results": dbt.ref("gx_results"),
            "monitoring.landing_files": dbt.ref("landing_files"),
            "monitoring.landing_findings": dbt.ref("landing_findings"),
            "monitoring.model_registry": dbt.ref("model_registry"),
            "monitoring.model_health": dbt.ref("model_health"),
            "monitoring.health_history": dbt.ref("health_history"),
            "monitoring.run_plan": dbt.ref("run_plan"),
            "monitoring.run_history": dbt.ref("run_history"),
            "monitoring.promotions": dbt.ref("promotions"),
            "monitoring.degradations": dbt.ref("degradations"),
            "monitoring.verdicts": dbt.ref("verdicts"),
        }
    )

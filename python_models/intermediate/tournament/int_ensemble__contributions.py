"""What each input contributes to the newest forecasts, as Shapley values. The work is in zl_forecast.contributions."""

from zl_forecast.contributions import contributions


def model(dbt, session):
    dbt.config(materialized="table")
    inputs = dbt.ref("int_ensemble__inputs").filter("input <> 'control'")
    (trained_until,) = inputs.filter("fold_type = 'live'").max("trained_until").fetchone()
    needed = f"fold_type = 'live' or target_date >= date '{trained_until}'"
    return contributions(
        inputs.filter(needed),
        inputs.select("input").distinct(),
        dbt.ref("int_ensemble__chosen").filter("fold_type = 'live'"),
        dbt.ref("int_ensemble__methods").filter("fold_type = 'live'"),
        dbt.ref("ensemble_methods"),
    )

"""Model confidence set and Diebold-Mariano tests of the ensemble methods, as of each block. The work is in zl_forecast.ensembles.evidence."""

from zl_forecast.ensembles.evidence import ensemble_evidence


def model(dbt, session):
    dbt.config(materialized="table")
    forecasts = dbt.ref("int_ensemble__forecasts")
    (newest,) = forecasts.max("trained_until").fetchone()
    # what matures while a block is in force is no evidence for it: so the tests are the same until the next one begins
    past = forecasts.filter(f"kind = 'oof' and target_date < date '{newest:%Y-%m-%d}'").select(
        "ensemble_method, kind, as_of_date, horizon_days, block_number, target_date, is_matured, status, pinball_pct"
    )
    return ensemble_evidence(past, forecasts.select("kind, fold_start, trained_until, horizon_days").distinct())

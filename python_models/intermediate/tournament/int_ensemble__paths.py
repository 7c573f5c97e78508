"""Monte Carlo paths through the newest forecast's distributions. The work is in zl_forecast.risk."""

from zl_forecast.risk import ORIGIN_COLUMNS, PRICE_COLUMNS, sample_paths


def model(dbt, session):
    dbt.config(materialized="table")
    live = dbt.ref("int_ensemble__published").filter("fold_type = 'live'")
    (newest,) = live.max("as_of_date").fetchone()
    forecast = live.filter(f"as_of_date = date '{newest}'")
    return sample_paths(forecast.select(", ".join([*ORIGIN_COLUMNS, *PRICE_COLUMNS])))

"""Benchmark: run time of the ensemble tournament on simulated forecasts, with an empty and with a full store.

python -m benchmarks.ensembles [inputs] [years]      default: 10 inputs and 5 years of daily out-of-fold rows
"""

import os
import sys
import tempfile
import time

import numpy as np
import pandas as pd
from scipy.stats import norm

from zl_forecast import settings
from zl_forecast.ensembles.tournament import run_ensembles

HORIZONS = (5, 20, 60, 120)


def forecasts(n_inputs: int, years: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate inputs that resemble one another, as consensus forecasts do, and the targets."""
    rng = np.random.default_rng(settings.SEED)
    days = pd.bdate_range("2015-01-01", f"{2014 + years}-12-31")
    shocks = rng.standard_normal(len(days) + max(HORIZONS))
    spread = norm.ppf(settings.QUANTILE_LEVELS)
    inputs, targets = [], []
    for horizon in HORIZONS:
        z_return = np.convolve(shocks, np.ones(horizon) / np.sqrt(horizon), "valid")[: len(days)]
        matured = np.arange(len(days)) < len(days) - horizon
        known = pd.DataFrame(
            {"as_of_date": days, "horizon_days": horizon, "target_date": days + pd.offsets.BDay(horizon)}
        )
        targets.append(
            known.assign(z_return=np.where(matured, z_return, np.nan), is_matured=matured, horizon_volatility=0.01)
        )
        for number in range(n_inputs):
            centre = np.zeros(len(days)) if number == 0 else 0.1 * rng.standard_normal(len(days)).cumsum() / 20
            own = known[["as_of_date", "horizon_days"]].assign(input="reference" if number == 0 else f"input_{number}")
            own[list(settings.QUANTILE_COLUMNS)] = centre[:, None] + (1 + 0.02 * number) * spread
            inputs.append(own.assign(fold_type="oof", fold_start=pd.to_datetime(days.year.astype(str) + "-01-01")))
            month = days[-1].replace(day=1)
            inputs.append(own[own["as_of_date"] >= month].assign(fold_type="live", fold_start=month))
    inputs = pd.concat(inputs, ignore_index=True)
    return inputs.assign(trained_until=inputs["fold_start"] - pd.Timedelta(days=8)), pd.concat(
        targets, ignore_index=True
    )


def main() -> None:
    n_inputs, years = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (10, 5)
    inputs, targets = forecasts(n_inputs, years)
    registry, thresholds = (pd.read_csv(f"seeds/{name}.csv") for name in ("ensemble_methods", "thresholds"))
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ZL_DATA_DIR"] = folder
        for label in ("empty store", "everything cached"):
            started = time.perf_counter()
            table = run_ensembles(inputs, targets, registry, thresholds)
            print(f"{label}: {time.perf_counter() - started:.1f} s", flush=True)
    per_method = table.groupby("competitor")[["fit_seconds", "score_seconds"]].max()
    print(
        f"{n_inputs} inputs x {len(HORIZONS)} horizons x {years} years, seconds of the slowest fold:\n{per_method.round(2)}"
    )


if __name__ == "__main__":
    main()

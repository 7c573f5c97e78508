"""Run a bucket's tournament on a few simulated sessions in this process."""

from collections.abc import Iterable
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings, workers
from zl_forecast.tournament import Inputs, run_specialist
from zl_forecast.tournament.runner import _train
from zl_forecast.tournament.specialist import Plan

HORIZONS = (5, 10, 20)  # three or more: AutoGluon turns a column of two values into 0 and 1
QUANTILES = list(settings.QUANTILE_COLUMNS)
TRAIN = Plan()


def targets_of(days: pd.DatetimeIndex, z_return: np.ndarray, horizons: tuple[int, ...] = HORIZONS) -> pd.DataFrame:
    """int_targets__daily.

    Parameters
    ----------
    days : DatetimeIndex of shape (n_sessions,)
    z_return : array of shape (n_sessions,) or (n_sessions, n_horizons)
        Taken out where the target lies beyond the last session.
    """
    n = len(days)
    beyond = days.append(pd.bdate_range(days[-1], periods=max(horizons) + 1)[1:])
    z_return = np.broadcast_to(z_return.reshape(n, -1), (n, len(horizons)))
    frames = []
    for own, horizon in zip(z_return.T, horizons, strict=True):
        is_matured = np.arange(n) < n - horizon
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": days,
                    "horizon_days": horizon,
                    "target_date": beyond[horizon : horizon + n],
                    "z_return": np.where(is_matured, own, np.nan),
                    "is_matured": is_matured,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def families_seed(modules: dict[str, str], limits: dict[str, int] | None = None) -> pd.DataFrame:
    """Build seeds/families.csv with these families."""
    limits = limits or {}
    return pd.DataFrame(
        {
            "family": list(modules),
            "module": list(modules.values()),
            "from_preset": "full",
            "time_limit_seconds": [limits.get(name, 600) for name in modules],
        }
    )


def own_modules(names: Iterable[str]) -> dict[str, str]:
    """Return the modules of families of the package."""
    return {name: f"zl_forecast.families.{name}" for name in names}


def inputs(
    mart: pd.DataFrame,
    targets: pd.DataFrame,
    families: pd.DataFrame,
    zl: pd.DataFrame | None = None,
    channels: str = "driver",
) -> Inputs:
    """Build the inputs of the tournament of bucket crush."""
    if zl is None:
        zl = pd.DataFrame({"as_of_date": mart["as_of_date"], "log_return": 0.01, "ewma_volatility": 0.01})
    buckets = pd.DataFrame({"bucket": ["crush"], "candidates": [""], "channels": [channels]})
    mart, targets, zl, buckets, families = map(duckdb.from_df, (mart, targets, zl, buckets, families))
    return Inputs("crush", mart, targets, zl, buckets, families, "full")


def in_this_process(work, tasks, limit, executor):
    """Run tasks as `workers.run`, without processes."""
    for task in tasks:
        yield task, work(task)


def run_here(own: Inputs, folder: Path, plan: Plan = TRAIN) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Run a tournament with its store in a folder; return its forecasts and the jobs that trained and forecast."""
    seen = {"trained": [], "forecast": []}

    def noting(work, tasks, limit, executor):
        for task in tasks:
            seen["trained" if task.step is _train else "forecast"].append(str(task))
            yield task, work(task)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZL_DATA_DIR", str(folder))
        patch.setattr(workers, "run", noting)
        return run_specialist(own, plan), seen

"""The evidence on each ensemble method: Diebold-Mariano tests against the reference and against the method to beat."""

import numpy as np
import pandas as pd

from zl_forecast.ensembles import CHALLENGER, DEFAULT, FALLBACK
from zl_forecast.scoring import diebold_mariano, holm

MIN_SHARE_OF_ROWS = 0.75  # common to all compared methods; a method with too many failures is not compared
COLUMNS = {
    "fold_type": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "horizon_days": "int32",
    "competitor": "object",
    "n_compared": "float64",
    "dm_statistic": "float64",
    "dm_p_value": "float64",
    "benchmark": "object",
    "benchmark_skill": "float64",
    "benchmark_p_value": "float64",
    "benchmark_p_value_holm": "float64",
}
FOLD = ["fold_type", "fold_start", "trained_until"]


def ensemble_evidence(losses: pd.DataFrame, folds: pd.DataFrame, base_methods: dict[str, str | None]) -> pd.DataFrame:
    """Collect the evidence on each method that was available when a fold began.

    The benchmark of a first-level method is the average of the inputs, that of a second-level method its base
    method: weights and widths are decided apart. The p-values of all methods and horizons tested at one fold start
    are adjusted by Holm's method: the chance that any of them is better only by luck stays below the level, however
    many were tried and however much they have in common. Half of the level for weights belongs to partial pooling
    alone, which was named the first challenger before any test, so that it does not pay for forty others.

    Parameters
    ----------
    losses : DataFrame
        Matured out-of-fold forecasts: competitor, as_of_date, horizon_days, target_date, pinball_pct (percent
        of price).
    folds : DataFrame
        fold_type, fold_start, trained_until, horizon_days.
    base_methods : dict of str to str or None
        Base method by method; None for a first-level method.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per fold, horizon and compared method. `benchmark_skill` is 1 - loss / loss of the
        benchmark. A p-value is NaN if there are too few rows for the test, see `scoring.diebold_mariano`.
    """
    frames = []
    for horizon, own in folds.groupby("horizon_days"):
        past = losses[losses["horizon_days"] == horizon]
        by_method = past.pivot(index="as_of_date", columns="competitor", values="pinball_pct").sort_index()
        matured_on = past.drop_duplicates("as_of_date").set_index("as_of_date")["target_date"].sort_index()
        for fold in own.itertuples(index=False):
            # models are trained before the fold starts, so none of these rows is in the fold
            table = compared(by_method[(matured_on < fold.trained_until).to_numpy()])
            if len(table) > 1:
                frames.append(_tested(table, int(horizon), base_methods).assign(**fold._asdict()))
    if not frames:
        return pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    result = pd.concat(frames, ignore_index=True)
    family = result["competitor"].map(
        lambda name: "widths" if base_methods.get(name) else "challenger" if name == CHALLENGER else "weights"
    )
    adjusted = result.groupby([*FOLD, family])["benchmark_p_value"].transform(holm)
    result["benchmark_p_value_holm"] = (adjusted * np.where(family == "widths", 1, 2)).clip(upper=1)
    return result[list(COLUMNS)].astype(COLUMNS)


def compared(losses: pd.DataFrame) -> pd.DataFrame:
    """Select the methods to compare and the rows that they share.

    Methods with the fewest rows are dropped until the others have `MIN_SHARE_OF_ROWS` of all rows in common,
    so that a method that failed in a bad year does not remove that year for the others.

    Parameters
    ----------
    losses : DataFrame of shape (n_rows, n_methods)
        Pinball losses; NaN where a method has no forecast.

    Returns
    -------
    DataFrame
        Without NaN; neither the fallback nor the average is ever dropped.
    """
    complete = losses.dropna()
    while len(complete) < MIN_SHARE_OF_ROWS * len(losses):
        others = losses.drop(columns=[FALLBACK, DEFAULT], errors="ignore")
        if not others.shape[1]:
            break
        losses = losses.drop(columns=others.count().idxmin())
        complete = losses.dropna()
    return complete


def _tested(losses: pd.DataFrame, horizon: int, base_methods: dict[str, str | None]) -> pd.DataFrame:
    rows = []
    for name in losses:
        against_reference = diebold_mariano(losses[name].to_numpy(), losses[FALLBACK].to_numpy(), overlap=horizon)
        benchmark = base_methods.get(name) or DEFAULT
        is_tested = name != benchmark and benchmark in losses
        against_benchmark = losses[benchmark].to_numpy() if is_tested else losses[name].to_numpy()
        test = diebold_mariano(losses[name].to_numpy(), against_benchmark, overlap=horizon)
        rows.append(
            {
                "competitor": name,
                "n_compared": len(losses),
                "dm_statistic": against_reference.statistic,
                "dm_p_value": against_reference.p_value,
                "benchmark": benchmark if is_tested else None,
                "benchmark_skill": 1 - losses[name].mean() / against_benchmark.mean() if is_tested else np.nan,
                "benchmark_p_value": test.p_value,
            }
        )
    return pd.DataFrame(rows)

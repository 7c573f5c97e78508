"""The model confidence set of the ensemble methods, and their Diebold-Mariano tests against the reference."""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.ensembles import FALLBACK
from zl_forecast.imports import ONE_IMPORT_AT_A_TIME
from zl_forecast.scoring import diebold_mariano

MIN_INDEPENDENT_SAMPLES = 10  # independent samples below which no method is ruled out
MIN_SHARE_OF_ROWS = 0.75  # common to all compared methods; a method with too many failures is not compared
CONFIDENCE = 0.75  # of the set; Hansen, Lunde and Nason report 75 and 90 %
REPETITIONS = 1_000
COLUMNS = {
    "fold_type": "object",
    "fold_start": "datetime64[us]",
    "trained_until": "datetime64[us]",
    "horizon_days": "int32",
    "competitor": "object",
    "n_compared": "float64",
    "mcs_p_value": "float64",
    "is_in_confidence_set": "boolean",
    "dm_statistic": "float64",
    "dm_p_value": "float64",
}


def ensemble_evidence(losses: pd.DataFrame, folds: pd.DataFrame) -> pd.DataFrame:
    """Collect the evidence on each method that was available when a fold began.

    Sources: Hansen, Lunde and Nason (2011), Econometrica 79(2), 453-497 (range statistic, stationary bootstrap
    with mean block length of twice the horizon, as in `arch.bootstrap.MCS`); the test against the reference is
    `diebold_mariano`.

    Parameters
    ----------
    losses : DataFrame
        Matured out-of-fold forecasts: competitor, as_of_date, horizon_days, target_date, pinball_pct (percent
        of price).
    folds : DataFrame
        fold_type, fold_start, trained_until, horizon_days.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`, one row per fold, horizon and compared method. With fewer than `MIN_INDEPENDENT_SAMPLES`
        independent samples mcs_p_value is NaN and every method is in the set.
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
                frames.append(_tested(table, int(horizon)).assign(**fold._asdict()))
    result = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=list(COLUMNS))
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
        Without NaN; the fallback method is never dropped.
    """
    complete = losses.dropna()
    while len(complete) < MIN_SHARE_OF_ROWS * len(losses) and losses.shape[1] > 1:
        losses = losses.drop(columns=losses.drop(columns=FALLBACK).count().idxmin())
        complete = losses.dropna()
    return complete


def confidence_set(losses: pd.DataFrame, horizon: int) -> pd.Series:
    """Compute the model confidence set p-value of each method.

    A method is outside the set at confidence c if its p-value is below 1 - c.
    Source: Hansen, Lunde and Nason (2011), Econometrica 79(2), 453-497.

    Parameters
    ----------
    losses : DataFrame of shape (n_rows, n_methods)
        Pinball losses without NaN, oldest first, one row per session.
    horizon : int
        Sessions.

    Returns
    -------
    Series of n_methods floats
        Between 0 and 1; 1 for the best method. Methods with equal losses in every row share a p-value.
    """
    twins = {
        name: next(n for n in losses if np.allclose(losses[n], losses[name], rtol=0, atol=1e-12)) for name in losses
    }
    distinct = losses[list(dict.fromkeys(twins.values()))]
    if distinct.shape[1] == 1:
        return pd.Series(1.0, index=losses.columns)
    with ONE_IMPORT_AT_A_TIME:
        from arch.bootstrap import MCS
    test = MCS(
        distinct, size=1 - CONFIDENCE, reps=REPETITIONS, block_size=2 * horizon, method="R",
        bootstrap="stationary", seed=settings.SEED,
    )  # fmt: skip
    test.compute()
    return pd.Series(twins).map(test.pvalues["Pvalue"])


def _tested(losses: pd.DataFrame, horizon: int) -> pd.DataFrame:
    enough = len(losses) / horizon >= MIN_INDEPENDENT_SAMPLES
    p_values = confidence_set(losses, horizon) if enough else pd.Series(np.nan, index=losses.columns)
    rows = []
    for name in losses:
        against = diebold_mariano(losses[name].to_numpy(), losses[FALLBACK].to_numpy(), overlap=horizon)
        rows.append(
            {
                "competitor": name,
                "n_compared": len(losses),
                "mcs_p_value": p_values[name],
                "is_in_confidence_set": not p_values[name] < 1 - CONFIDENCE,
                "dm_statistic": against.statistic,
                "dm_p_value": against.p_value,
            }
        )
    return pd.DataFrame(rows)

"""Shrink every learned combination towards the average of the inputs before it is scored."""

import numpy as np

from zl_forecast import settings
from zl_forecast.scoring import pinball

WEIGHTS = np.linspace(0, 1, 21)
PRIOR_WEIGHT = 0.5  # of a combination without matured rows; see DECISIONS.md


def estimate_shrinkage_weight(
    z_return: np.ndarray, combined: np.ndarray, average: np.ndarray, horizon_days: int
) -> float:
    """Estimate the shrinkage weight of a combination; the rest of the forecast is the average of the inputs.

    The weight with the least pinball loss on matured out-of-fold rows of earlier folds is shrunk towards one
    half, with a prior of `settings.PRIOR_SAMPLES` independent samples. n rows count as n / horizon_days
    samples. At six months a year adds two samples, so the weight stays near one half for years; at one week the
    data dominate after a year.
    Source: partial pooling of a forecast with a benchmark, Stock and Watson (2004), Journal of Forecasting 23,
    405-430, section 4 (weights shrunk towards equal ones).

    Parameters
    ----------
    z_return : array of shape (n,)
        Realised standardised returns, one per session.
    combined, average : arrays of shape (n, n_levels)
        Standardised returns at `settings.QUANTILE_LEVELS`.
    horizon_days : int
        Sessions.

    Returns
    -------
    float in [0, 1]
        `PRIOR_WEIGHT` if there are no rows.

    Examples
    --------
    Without matured rows the weight is the prior. Forty independent samples that favour the combination raise it
    to (40 * 1 + 20 * 0.5) / (40 + 20):

    >>> none = np.empty((0, 7))
    >>> estimate_shrinkage_weight(np.empty(0), none, none, horizon_days=5)
    0.5
    >>> z_return = np.ones(200)
    >>> combined, average = np.ones((200, 7)), np.zeros((200, 7))
    >>> round(estimate_shrinkage_weight(z_return, combined, average, horizon_days=5), 4)
    0.8333
    """
    if len(z_return) == 0:
        return PRIOR_WEIGHT
    scored = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
    losses = [
        pinball(z_return, weight * combined[:, scored] + (1 - weight) * average[:, scored]).mean() for weight in WEIGHTS
    ]
    best = WEIGHTS[int(np.argmin(np.round(losses, 12)))]  # on ties the smallest weight
    samples = len(z_return) / horizon_days
    return float((samples * best + settings.PRIOR_SAMPLES * PRIOR_WEIGHT) / (samples + settings.PRIOR_SAMPLES))

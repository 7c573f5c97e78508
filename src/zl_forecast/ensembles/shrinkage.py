"""What is done to every combination before it is judged: it is pulled towards the reference."""

import numpy as np

from zl_forecast import settings
from zl_forecast.scoring import pinball

SHARES = np.linspace(0, 1, 21)
PRIOR_SHARE = 0.5  # of a combination of which nothing is known yet; see DECISIONS.md


def share_of_combination(z: np.ndarray, combined: np.ndarray, reference: np.ndarray, horizon_days: int) -> float:
    """How much of a combination to publish, the rest being the reference.

    The share with the least pinball loss on matured, out-of-fold rows of earlier blocks, drawn towards one half as if
    `settings.PRIOR_SAMPLES` independent samples had spoken for that. n rows count as n / horizon_days samples: at six months a
    year brings two, and one half stays the answer for long; at a week it is the data's after a year.
    Source: partial pooling of a forecast with a benchmark, Stock and Watson (2004), Journal of Forecasting 23, 405-430, section 4
    (weights shrunk towards equal ones).

    Parameters
    ----------
    z : array of shape (n,)
        Realised scaled returns, one a session.
    combined, reference : arrays of shape (n, n_levels)
        At `settings.QUANTILE_LEVELS`.

    Returns
    -------
    float in [0, 1]
        `PRIOR_SHARE` without any row.
    """
    if len(z) == 0:
        return PRIOR_SHARE
    scored = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
    losses = [pinball(z, share * combined[:, scored] + (1 - share) * reference[:, scored]).mean() for share in SHARES]
    best = SHARES[int(np.argmin(np.round(losses, 12)))]  # of equal losses the first: nothing but a gain earns a share
    samples = len(z) / horizon_days
    return float((samples * best + settings.PRIOR_SAMPLES * PRIOR_SHARE) / (samples + settings.PRIOR_SAMPLES))

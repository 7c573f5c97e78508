"""What is done to every combination before it is judged: pulled towards the reference, and widened for few samples."""

import numpy as np

from zl_forecast import settings
from zl_forecast.scoring import pinball

SHARES = np.linspace(0, 1, 21)
HIGHEST_LEVEL = 0.97  # beyond it an empirical quantile rests on single events


def share_of_combination(
    z: np.ndarray, combined: np.ndarray, reference: np.ndarray, horizon_days: int
) -> float:
    """How much of a combination to publish, the rest being the reference.

    The share with the least pinball loss on matured, out-of-fold rows of earlier blocks, shrunk towards zero as if
    `settings.PRIOR_SAMPLES` independent samples had spoken for the reference: with n / horizon_days samples s of our own
    the factor is s / (s + prior). At 6 months a year brings two samples, so the reference keeps the last word for long.

    Parameters
    ----------
    z : array of shape (n,)
        Realised scaled returns, one a session.
    combined, reference : arrays of shape (n, n_levels)
        At `settings.QUANTILE_LEVELS`.

    Returns
    -------
    float in [0, 1]
        0 without any row.
    """
    if len(z) == 0:
        return 0.0
    scored = [settings.QUANTILE_LEVELS.index(level) for level in settings.SCORED_LEVELS]
    losses = [
        pinball(z, share * combined[:, scored] + (1 - share) * reference[:, scored]).mean() for share in SHARES
    ]
    samples = len(z) / horizon_days
    return float(SHARES[int(np.argmin(losses))] * samples / (samples + settings.PRIOR_SAMPLES))


def small_sample_factor(z: np.ndarray, reference: np.ndarray, horizon_days: int) -> float:
    """By how much a band must be widened because its quantiles were learnt from few independent samples.

    Split-conformal bands reach their nominal coverage at level (1 - a)(n + 1)/n of the calibration scores, not at 1 - a.
    Here n is the number of targets that do not overlap, so the factor is 1.00 at a week and matters at six months.
    Source: Lei et al. (2018), Journal of the American Statistical Association 113, 1094-1111, section 2.2.

    Parameters
    ----------
    z : array of shape (n,)
        Scaled returns of the training rows of one horizon.
    reference : array of shape (n_levels,)
        Centred quantiles of the same rows.

    Returns
    -------
    float, at least 1
    """
    low, high = (reference[settings.QUANTILE_LEVELS.index(level)] for level in (0.10, 0.90))
    score = np.maximum(z / high, z / low)  # 1 on the edge of the 80 % band, on either side
    samples = max(len(z) / horizon_days, 1.0)
    level = min(0.8 * (samples + 1) / samples, HIGHEST_LEVEL)
    return float(max(np.quantile(score, level) / np.quantile(score, 0.8), 1.0))


def widen(quantiles: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Stretch rows of quantiles (n, n_levels) about their medians by `factor` (n,)."""
    median = quantiles[:, [settings.QUANTILE_LEVELS.index(0.5)]]
    return median + (quantiles - median) * np.asarray(factor)[:, None]

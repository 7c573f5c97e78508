"""What is done to every combination before it is judged: pulled towards the reference, and widened for few samples."""

import numpy as np

from zl_forecast import settings
from zl_forecast.scoring import diebold_mariano, pinball

SHARES = np.linspace(0, 1, 21)
LEAST_FREEDOM = 10  # of a t-statistic that may speak before the prior has faded
HIGHEST_LEVEL = 0.97  # beyond it an empirical quantile rests on single events


def share_of_combination(z: np.ndarray, combined: np.ndarray, reference: np.ndarray, horizon_days: int) -> float:
    """How much of a combination to publish, the rest being the reference.

    The share with the least pinball loss on matured, out-of-fold rows of earlier blocks, shrunk towards zero by the larger
    of two factors. With s = n / horizon_days independent samples, s / (s + prior), as if `settings.PRIOR_SAMPLES` samples
    had spoken for the reference: at 6 months a year brings two, so the reference keeps the last word for long. And
    1 - 1 / t^2, with the Diebold-Mariano statistic t of the gain: strong evidence need not wait for years.
    Source of the second: positive-part shrinkage, Baranchik (1970), Annals of Mathematical Statistics 41, 642-645.

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
    losses = [pinball(z, share * combined[:, scored] + (1 - share) * reference[:, scored]) for share in SHARES]
    # of equal losses the first, so that nothing but a gain earns a share
    best = int(np.argmin(np.round([loss.mean() for loss in losses], 12)))
    samples = len(z) / horizon_days
    gain = diebold_mariano(losses[best], losses[0], overlap=horizon_days)
    t = gain.statistic if gain.degrees_of_freedom >= LEAST_FREEDOM else 0.0
    evidence = 1 - 1 / t**2 if t > 1 else 0.0
    return float(SHARES[best] * max(samples / (samples + settings.PRIOR_SAMPLES), evidence))


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

"""A full distribution from its quantiles at `settings.QUANTILE_LEVELS`: values, probabilities, densities, mixtures.

Between two levels the quantile function is linear in normal scores, s = ppf(level). Beyond the outermost level
it continues with the slope between the quartile and the outermost level. This normal tail uses the outer part of
the forecast, which is more robust than the slope between the two outermost quantiles. The quantiles of a normal
distribution therefore reproduce that distribution exactly. All functions are vectorised over leading axes; the
unit is that of the quantiles.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from zl_forecast import settings

SCORES = ndtri(np.array(settings.QUANTILE_LEVELS))
# index of the level at which each segment starts; the segment below the first level also uses that level
KNOTS = np.maximum(np.arange(len(SCORES) + 1) - 1, 0)
TAILS = ((0, settings.QUANTILE_LEVELS.index(0.25)), (-1, settings.QUANTILE_LEVELS.index(0.75)))
MIN_SLOPE = 1e-6  # lower bound, so that a forecast with equal quantiles still has a density
BISECTIONS = 34  # the bracket of a mixture's quantile shrinks below 1e-10 of its width


def values(quantiles: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Evaluate the quantile function at normal scores.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        At `settings.QUANTILE_LEVELS`, ascending, any unit.
    scores : array of shape (m,) or (..., m)
        Normal scores, ppf of the wanted levels; any level strictly between 0 and 1.

    Returns
    -------
    array of shape (..., m)
        In the unit of `quantiles`.

    Examples
    --------
    A normal distribution with mean 10 and standard deviation 2 at its P50 and at three standard deviations:

    >>> values(10 + 2 * SCORES, [0.0, 3.0]).round(6).tolist()
    [10.0, 16.0]
    """
    quantiles, scores = np.asarray(quantiles, float), np.asarray(scores, float)
    scores = np.broadcast_to(scores, (*quantiles.shape[:-1], scores.shape[-1]))
    segment = np.searchsorted(SCORES, scores, side="right")
    start = np.take_along_axis(quantiles, KNOTS[segment], axis=-1)
    return start + (scores - SCORES[KNOTS[segment]]) * np.take_along_axis(_slopes(quantiles), segment, axis=-1)


def normal_scores(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Compute the normal score of each x: ppf of the probability of a value up to x. The inverse of `values`.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        At `settings.QUANTILE_LEVELS`, ascending, any unit.
    x : array of shape (..., m)
        In the unit of `quantiles`.

    Returns
    -------
    array of shape (..., m)
        Dimensionless; 0 at the median.

    Examples
    --------
    >>> normal_scores(10 + 2 * SCORES, np.array([10.0, 12.0, 16.0])).round(6).tolist()
    [0.0, 1.0, 3.0]
    """
    quantiles = np.asarray(quantiles, float)
    segment, slope = _segments(quantiles, x)
    return SCORES[KNOTS[segment]] + (x - np.take_along_axis(quantiles, KNOTS[segment], axis=-1)) / slope


def probabilities(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Evaluate the distribution function at x; at the outcome this is the probability integral transform.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        At `settings.QUANTILE_LEVELS`, ascending, any unit.
    x : array of shape (..., m)
        In the unit of `quantiles`.

    Returns
    -------
    array of shape (..., m)
        Between 0 and 1.

    Examples
    --------
    >>> probabilities(10 + 2 * SCORES, np.array([10.0, 12.0])).round(3).tolist()
    [0.5, 0.841]
    """
    return ndtr(normal_scores(quantiles, x))


def log_densities(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Evaluate the natural logarithm of the density at x.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        At `settings.QUANTILE_LEVELS`, ascending, any unit.
    x : array of shape (..., m)
        In the unit of `quantiles`.

    Returns
    -------
    array of shape (..., m)
        Log of a density per unit of `quantiles`.
    """
    _, slope = _segments(np.asarray(quantiles, float), x)
    scores = normal_scores(quantiles, x)
    return -0.5 * scores**2 - 0.5 * np.log(2 * np.pi) - np.log(slope)


def mixture_quantiles(quantiles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Compute the quantiles of a mixture: invert the weighted mean of the distribution functions.

    This differs from averaging the quantiles: a mixture is wider where the components disagree. Each quantile is
    found by bisection between the smallest and the largest quantile of the same level among the components.

    Parameters
    ----------
    quantiles : array of shape (n, n_components, n_levels)
        At `settings.QUANTILE_LEVELS`, ascending, any unit.
    weights : array of shape (n, n_components) or (n_components,)
        Non-negative, with sum one.

    Returns
    -------
    array of shape (n, n_levels)
        In the unit of `quantiles`.

    Examples
    --------
    Two standard normal distributions, centred at -1 and at 1. P90 of the mixture is above the mean of both P90s:

    >>> components = np.stack([SCORES - 1, SCORES + 1])[None]
    >>> float(mixture_quantiles(components, np.array([0.5, 0.5]))[0, 5].round(2))
    1.85
    >>> float(components.mean(axis=1)[0, 5].round(2))
    1.28
    """
    weights = np.broadcast_to(weights, quantiles.shape[:2])
    low, high = quantiles.min(axis=1), quantiles.max(axis=1)
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        reached = np.einsum(
            "nk,nkl->nl", weights, probabilities(quantiles, np.broadcast_to(middle[:, None], quantiles.shape))
        )
        is_below = reached < settings.QUANTILE_LEVELS
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return (low + high) / 2


def _slopes(quantiles: np.ndarray) -> np.ndarray:
    """Return the slope of the quantile function in each segment, array of shape (..., n_levels + 1)."""
    inner = np.diff(quantiles, axis=-1) / np.diff(SCORES)
    low, high = (
        (quantiles[..., [outer]] - quantiles[..., [quartile]]) / (SCORES[outer] - SCORES[quartile])
        for outer, quartile in TAILS
    )
    return np.concatenate([low, inner, high], axis=-1)


def _segments(quantiles: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the segment of each x, from 0 below the first level to n_levels above the last, and its slope."""
    segment = (x[..., None] >= quantiles[..., None, :]).sum(axis=-1)
    slope = np.maximum(_slopes(quantiles), MIN_SLOPE)
    return segment, np.take_along_axis(slope, segment, axis=-1)

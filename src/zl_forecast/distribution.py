"""A whole distribution from its quantiles at `settings.QUANTILE_LEVELS`: values, probabilities, densities, mixtures.

Between two levels the quantile function is linear in normal scores, s = ppf(level), and beyond the outermost it goes on with the slope
from the quartile to the outermost: a normal tail as steep as the forecast's own outer part, which rests on more than the two
outermost numbers. So the quantiles of a normal distribution give back that normal distribution, exactly. All functions are vectorised over leading axes; the unit is that of the quantiles.
"""

import numpy as np
from scipy.special import ndtr, ndtri

from zl_forecast import settings

SCORES = ndtri(np.array(settings.QUANTILE_LEVELS))
KNOTS = np.maximum(
    np.arange(len(SCORES) + 1) - 1, 0
)  # the level that each segment starts from; below the first, the first
TAILS = ((0, settings.QUANTILE_LEVELS.index(0.25)), (-1, settings.QUANTILE_LEVELS.index(0.75)))
LEAST_SLOPE = 1e-6  # of a forecast whose quantiles coincide: it is as good as a point, but has a density
BISECTIONS = 34  # the bracket of a mixture's quantile shrinks below 1e-10 of its width


def values(quantiles: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The quantile function at normal scores.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        Ascending.
    scores : array of shape (m,) or (..., m)
        ppf of the wanted levels; any level strictly between 0 and 1.

    Returns
    -------
    array of shape (..., m)
    """
    quantiles, scores = np.asarray(quantiles, float), np.asarray(scores, float)
    scores = np.broadcast_to(scores, (*quantiles.shape[:-1], scores.shape[-1]))
    segment = np.searchsorted(SCORES, scores, side="right")
    start = np.take_along_axis(quantiles, KNOTS[segment], axis=-1)
    return start + (scores - SCORES[KNOTS[segment]]) * np.take_along_axis(_slopes(quantiles), segment, axis=-1)


def normal_scores(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Normal scores of x: ppf of the probability of a value up to x. The inverse of `values`.

    Parameters
    ----------
    quantiles : array of shape (..., n_levels)
        Ascending.
    x : array of shape (..., m)

    Returns
    -------
    array of shape (..., m)
    """
    quantiles = np.asarray(quantiles, float)
    segment, slope = _segments(quantiles, x)
    return SCORES[KNOTS[segment]] + (x - np.take_along_axis(quantiles, KNOTS[segment], axis=-1)) / slope


def probabilities(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The distribution function at x; shapes as in `normal_scores`. At the outcome it is the probability integral transform."""
    return ndtr(normal_scores(quantiles, x))


def log_densities(quantiles: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Log of the density at x; shapes as in `normal_scores`."""
    _, slope = _segments(np.asarray(quantiles, float), x)
    scores = normal_scores(quantiles, x)
    return -0.5 * scores**2 - 0.5 * np.log(2 * np.pi) - np.log(slope)


def mixture_quantiles(quantiles: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Quantiles of a mixture: those of the averaged distribution functions, not the averaged quantiles.

    Found by bisection between the least and the greatest of the components' quantiles of the same level.

    Parameters
    ----------
    quantiles : array of shape (n, n_components, n_levels)
        Ascending.
    weights : array of shape (n, n_components) or (n_components,)
        At least zero, with sum one.

    Returns
    -------
    array of shape (n, n_levels)
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
    """Slope of the quantile function in each segment, array of shape (..., n_levels + 1)."""
    inner = np.diff(quantiles, axis=-1) / np.diff(SCORES)
    low, high = (
        (quantiles[..., [outer]] - quantiles[..., [quartile]]) / (SCORES[outer] - SCORES[quartile])
        for outer, quartile in TAILS
    )
    return np.concatenate([low, inner, high], axis=-1)


def _segments(quantiles: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which segment each x lies in, from 0 below the first level to n_levels above the last, and the slope there."""
    segment = (x[..., None] >= quantiles[..., None, :]).sum(axis=-1)
    slope = np.maximum(_slopes(quantiles), LEAST_SLOPE)
    return segment, np.take_along_axis(slope, segment, axis=-1)

"""Scores of quantile forecasts, and the test that turns them into a verdict."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from zl_forecast import settings


def pinball(
    outcome: np.ndarray, quantiles: np.ndarray, levels: tuple[float, ...] = settings.SCORED_LEVELS
) -> np.ndarray:
    """Mean pinball (quantile) loss of each row over the levels.

    Parameters
    ----------
    outcome : array of shape (n,)
    quantiles : array of shape (n, n_levels)
        In the unit of `outcome`.

    Returns
    -------
    array of shape (n,)
        In the unit of `outcome`; zero only where every quantile equals it. Koenker and Bassett (1978), Econometrica 46.
    """
    levels_row = np.asarray(levels)
    error = np.asarray(outcome)[:, None] - np.asarray(quantiles)
    return np.maximum(levels_row * error, (levels_row - 1) * error).mean(axis=1)


@dataclass(frozen=True)
class Verdict:
    """Outcome of a one-sided Diebold-Mariano test.

    Attributes
    ----------
    p_value : float
        Probability of a gain this large without skill; NaN where it cannot be tested.
    statistic : float
    degrees_of_freedom : int
    verdict : str
        'skill' where p_value is below settings.VERDICT_LEVEL, else 'no_skill'.
    """

    p_value: float
    statistic: float
    degrees_of_freedom: int
    verdict: str


def diebold_mariano(loss: np.ndarray, reference_loss: np.ndarray, overlap: int) -> Verdict:
    """Is `loss` smaller than `reference_loss` by more than chance, though neighbouring targets overlap?

    The variance of the mean difference is the average of the first m ordinates of the periodogram, and the statistic is
    compared with Student's t of 2m degrees of freedom. m is the cube root of the sample size, but no more than a third of
    the number of targets that do not overlap, since beyond that the overlap bends the spectrum.
    Source: Coroneo and Iacone (2020), Journal of Applied Econometrics 35(4), 391-409, section 2 (weighted periodogram).

    Parameters
    ----------
    loss, reference_loss : arrays of shape (n,)
        On the same rows, in order of time, one a session.
    overlap : int
        Horizon in sessions.

    Returns
    -------
    Verdict
        'no_skill' with p_value NaN with fewer than eight rows or six targets that do not overlap, or where all differences are equal.
    """
    difference = np.asarray(reference_loss, float) - np.asarray(loss, float)
    n = len(difference)
    bandwidth = int(min(np.cbrt(n), n / (3 * overlap)))  # 512 ** (1 / 3) falls short of 8
    if bandwidth < 2 or np.ptp(difference) < 1e-12:
        return Verdict(float("nan"), float("nan"), 2 * bandwidth, "no_skill")
    periodogram = np.abs(np.fft.fft(difference - difference.mean())[1 : bandwidth + 1]) ** 2 / n
    statistic = float(difference.mean() / np.sqrt(periodogram.mean() / n))
    p_value = float(stats.t.sf(statistic, 2 * bandwidth))
    return Verdict(p_value, statistic, 2 * bandwidth, "skill" if p_value < settings.VERDICT_LEVEL else "no_skill")

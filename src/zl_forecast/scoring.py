"""Scores of quantile forecasts, and the test behind each verdict."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from zl_forecast import settings


def pinball(
    outcome: np.ndarray, quantiles: np.ndarray, levels: tuple[float, ...] = settings.SCORED_LEVELS
) -> np.ndarray:
    """Compute the pinball (quantile) loss of each row, averaged over the levels.

    Source: Koenker and Bassett (1978), Econometrica 46(1), 33-50.

    Parameters
    ----------
    outcome : array of shape (n,)
        Any unit.
    quantiles : array of shape (n, n_levels)
        In the unit of `outcome`.
    levels : tuple of n_levels floats in (0, 1)
        Levels of the columns of `quantiles`.

    Returns
    -------
    array of shape (n,)
        In the unit of `outcome`; zero only if every quantile equals the outcome.

    Examples
    --------
    The outcome 2 lies one above P50 (loss 0.5 x 1) and one below P90 (loss 0.1 x 1):

    >>> pinball(np.array([2.0]), np.array([[1.0, 3.0]]), levels=(0.5, 0.9)).round(6).tolist()
    [0.3]
    """
    levels_row = np.asarray(levels)
    error = np.asarray(outcome)[:, None] - np.asarray(quantiles)
    return np.maximum(levels_row * error, (levels_row - 1) * error).mean(axis=1)


@dataclass(frozen=True)
class Verdict:
    """Result of a one-sided Diebold-Mariano test.

    Attributes
    ----------
    p_value : float
        Probability of a loss difference at least this large without skill; NaN if it cannot be tested.
    statistic : float
        Positive if the forecast has the lower mean loss.
    degrees_of_freedom : int
        Of Student's t distribution.
    verdict : str
        'skill' if p_value is below `settings.VERDICT_LEVEL`, else 'no_skill'.
    """

    p_value: float
    statistic: float
    degrees_of_freedom: int
    verdict: str


def diebold_mariano(loss: np.ndarray, reference_loss: np.ndarray, overlap: int) -> Verdict:
    """Test whether `loss` has a lower mean than `reference_loss`, with an overlap-robust variance (one-sided).

    The variance of the mean difference is the average of the first m ordinates of the periodogram; the statistic is
    compared with Student's t with 2m degrees of freedom. m is the cube root of the sample size, but at most a third
    of the number of non-overlapping targets, because beyond that the overlap distorts the spectrum.
    Source: Coroneo and Iacone (2020), Journal of Applied Econometrics 35(4), 391-409, section 2 (weighted periodogram).

    Parameters
    ----------
    loss, reference_loss : arrays of shape (n,)
        Pinball losses of the same rows in the same unit, oldest first, one per session.
    overlap : int
        Horizon in sessions.

    Returns
    -------
    Verdict
        'no_skill' with p_value NaN if there are fewer than eight rows or six non-overlapping targets, or if all
        differences are equal.
    """
    difference = np.asarray(reference_loss, float) - np.asarray(loss, float)
    n = len(difference)
    bandwidth = int(min(np.cbrt(n), n / (3 * overlap)))  # cbrt, because 512 ** (1 / 3) is below 8
    if bandwidth < 2 or np.ptp(difference) < 1e-12:
        return Verdict(float("nan"), float("nan"), 2 * bandwidth, "no_skill")
    periodogram = np.abs(np.fft.fft(difference - difference.mean())[1 : bandwidth + 1]) ** 2 / n
    statistic = float(difference.mean() / np.sqrt(periodogram.mean() / n))
    p_value = float(stats.t.sf(statistic, 2 * bandwidth))
    return Verdict(p_value, statistic, 2 * bandwidth, "skill" if p_value < settings.VERDICT_LEVEL else "no_skill")


def holm(p_values: pd.Series) -> pd.Series:
    """Adjust the p-values of several tests, so that the chance of one or more false rejections stays below the level.

    Valid under any dependence between the tests, and at least as powerful as Bonferroni's adjustment.
    Source: Holm (1979), Scandinavian Journal of Statistics 6(2), 65-70.

    Parameters
    ----------
    p_values : Series of shape (n_tests,)
        NaN for a test that could not be made; it does not count.

    Returns
    -------
    Series of shape (n_tests,)
        Adjusted p-values, at most 1; NaN where the p-value is.

    Examples
    --------
    >>> holm(pd.Series([0.01, 0.04, float("nan")])).tolist()
    [0.02, 0.04, nan]
    """
    # not statsmodels' multipletests, which runs a full garbage collection on every call
    ordered = p_values.dropna().sort_values()
    adjusted = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    return adjusted.reindex(p_values.index)

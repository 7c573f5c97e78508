"""Model health: the sequential test in NumPy.

SQL computes model health (models/intermediate/health, models/marts/monitoring/model_health.sql). This second
implementation of the test simulates thousands of histories to set the thresholds, and checks the SQL.
"""

import numpy as np


def page_cusum(x: np.ndarray, allowance: float) -> np.ndarray:
    """Compute Page's one-sided CUSUM, which rises when the mean of x exceeds the allowance.

    With C_t the running sum of x - allowance, it is C_t - min(0, C_1 ... C_t). It is never negative. It falls by the
    allowance in a period with x = 0, and rises by x - allowance in a period with a larger x.
    Source: Page (1954), Biometrika 41, 100-115.

    Parameters
    ----------
    x : array of shape (..., n_periods)
        Standardised excess loss, oldest first; zero in a period that performs as expected. NaN is skipped.
    allowance : float
        Mean excess that is tolerated, in the unit of x.

    Returns
    -------
    array of shape (..., n_periods)
        In the unit of x.

    Examples
    --------
    >>> page_cusum(np.array([0.0, 1.5, 1.5, np.nan, 0.0]), allowance=0.5).tolist()
    [0.0, 1.0, 2.0, 2.0, 1.5]
    """
    total = np.cumsum(np.where(np.isnan(x), 0.0, x - allowance), axis=-1)
    return total - np.minimum(np.minimum.accumulate(total, axis=-1), 0.0)

"""Standard scores of the inputs of linear families and networks."""

import numpy as np

OUTLIER = 3.0  # standard deviations at which an input is clipped


def standard_scores(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Compute standard scores, clipped at `OUTLIER`; a missing value becomes the mean.

    Parameters
    ----------
    x : array of shape (..., n_inputs)
    mean, scale : arrays of shape (n_inputs,)
        From training rows only, in the unit of each input.

    Returns
    -------
    array of shape (..., n_inputs)
        Between -`OUTLIER` and `OUTLIER`; 0 where x is missing.

    Examples
    --------
    >>> standard_scores(np.array([14.0, 99.0, np.nan]), np.full(3, 10.0), np.full(3, 2.0)).tolist()
    [2.0, 3.0, 0.0]
    """
    return np.nan_to_num(np.clip((x - mean) / scale, -OUTLIER, OUTLIER))

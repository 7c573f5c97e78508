"""Standard scores, as the linear families and the networks read their inputs."""

import numpy as np

OUTLIER = 3.0  # standard deviations at which an input is clipped


def standard_scores(x: np.ndarray, mean: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Standard scores, clipped; a missing value is the mean.

    Parameters
    ----------
    x : array of shape (..., n_inputs)
    mean, scale : arrays of shape (n_inputs,)
        From training rows alone.
    """
    return np.nan_to_num(np.clip((x - mean) / scale, -OUTLIER, OUTLIER))

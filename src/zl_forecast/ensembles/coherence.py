"""Horizons that fit together: no quantile lies nearer to its median, in log price, than at a shorter horizon of the same day."""

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.distribution import probabilities
from zl_forecast.store import stored

QUANTILES = list(settings.QUANTILE_COLUMNS)
MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
ORIGIN = ["kind", "fold_start", "as_of_date"]


@stored
def coherent(chosen: pd.DataFrame) -> pd.DataFrame:
    """Move quantiles out where a longer horizon promises to know more than a shorter one.

    Each horizon has its own method, and by accident of noise its band could be narrower, in log price, than that of a nearer day.
    A quantile's distance from its median becomes the greatest of those up to its horizon; medians stay.

    Parameters
    ----------
    chosen : DataFrame
        int_ensemble__chosen: kind, fold_start, as_of_date, horizon_days, scale (log return of one scaled unit, positive),
        q05 ... q95 in scaled units, ascending.

    Returns
    -------
    DataFrame
        The same rows and columns with q05 ... q95 coherent, `prob_up` as they say, and `is_widened`, whether any was moved.
    """
    rows = chosen.sort_values([*ORIGIN, "horizon_days"], ignore_index=True)
    scale = rows["scale"].to_numpy()[:, None]
    quantiles = rows[QUANTILES].to_numpy()
    distance = np.abs(quantiles - quantiles[:, [MEDIAN]]) * scale
    greatest = pd.DataFrame(distance).groupby([rows[column] for column in ORIGIN]).cummax().to_numpy()
    moved = quantiles[:, [MEDIAN]] + np.sign(np.arange(len(QUANTILES)) - MEDIAN) * greatest / scale
    is_moved = greatest > distance * (1 + 1e-12)
    moved = np.where(is_moved, moved, quantiles)  # what is not moved stays as it is to the last digit
    below = probabilities(moved, np.zeros((len(rows), 1)))[:, 0]
    return rows.assign(**dict(zip(QUANTILES, moved.T, strict=True)), prob_up=1 - below, is_widened=is_moved.any(axis=1))

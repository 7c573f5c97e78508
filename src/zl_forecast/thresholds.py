"""Read seeds/thresholds.csv in Python; SQL reads the same numbers through the macro `threshold`."""

from functools import cache
from pathlib import Path

import pandas as pd

from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import seed


def threshold(name: str) -> float:
    """Return the value of one threshold.

    Parameters
    ----------
    name : str
        Value of the column `name` of seeds/thresholds.csv.

    Returns
    -------
    float
        In the unit that the seed states.

    Raises
    ------
    ZlForecastError
        If the seed has no such row.
    """
    values = _read(seed("thresholds"))
    if name not in values:
        raise ZlForecastError(f"seeds/thresholds.csv has no row {name}. Its rows are {', '.join(values.index)}.")
    return float(values[name])


@cache
def _read(file: Path) -> pd.Series:
    return pd.read_csv(file, index_col="name")["value"]

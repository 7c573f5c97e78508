"""The numbers of seeds/thresholds.csv: what SQL reads by the macro `threshold`, Python reads here."""

from functools import cache

import pandas as pd

from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import seed


@cache
def threshold(name: str) -> float:
    """Value of one threshold, in the unit that the seed names.

    Raises
    ------
    ZlForecastError
        Where the seed has no such row.
    """
    values = pd.read_csv(seed("thresholds"), index_col="name")["value"]
    if name not in values:
        raise ZlForecastError(f"seeds/thresholds.csv has no {name}. Known are {', '.join(values.index)}.")
    return float(values[name])

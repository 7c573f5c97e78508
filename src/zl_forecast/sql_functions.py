"""dbt-duckdb plugin: functions of `distribution` for SQL models.

`probability_below(quantiles, x)`: the probability of a value up to x, of a distribution given by its list of quantiles at
`settings.QUANTILE_LEVELS`. What is null in, is null out.
"""

import duckdb
import numpy as np
import pyarrow as pa
from dbt.adapters.duckdb.plugins import BasePlugin
from duckdb.func import PythonUDFType

from zl_forecast import settings
from zl_forecast.distribution import probabilities


class Plugin(BasePlugin):
    """Named `functions` in profiles/profiles.yml."""

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        conn.create_function(
            "probability_below", probability_below, ["DOUBLE[]", "DOUBLE"], "DOUBLE", type=PythonUDFType.ARROW
        )


def probability_below(quantiles: pa.ChunkedArray, x: pa.ChunkedArray) -> pa.Array:
    """`distribution.probabilities` of one x a row."""
    known = np.asarray(quantiles.combine_chunks().flatten()).reshape(len(quantiles), len(settings.QUANTILE_LEVELS))
    return pa.array(probabilities(known, x.to_numpy()[:, None])[:, 0])

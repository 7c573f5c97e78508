"""dbt-duckdb plugin: functions of `distribution` for SQL models.

`probability_below(quantiles, x)` is the probability of a value up to x, for a distribution given by its list
of quantiles at `settings.QUANTILE_LEVELS`. It returns null if an argument is null.
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
        """Register the SQL functions on dbt's connection."""
        conn.create_function(
            "probability_below", probability_below, ["DOUBLE[]", "DOUBLE"], "DOUBLE", type=PythonUDFType.ARROW
        )


def probability_below(quantiles: pa.ChunkedArray, x: pa.ChunkedArray) -> pa.Array:
    """Return the probability of a value up to x, row by row, as `distribution.probabilities` does.

    Parameters
    ----------
    quantiles : pyarrow.ChunkedArray of shape (n,)
        Lists of quantiles at `settings.QUANTILE_LEVELS`.
    x : pyarrow.ChunkedArray of shape (n,)
        Values in the unit of `quantiles`.

    Returns
    -------
    pyarrow.Array of shape (n,)
        Probabilities, 0 to 1.
    """
    known = np.asarray(quantiles.combine_chunks().flatten()).reshape(len(quantiles), len(settings.QUANTILE_LEVELS))
    return pa.array(probabilities(known, x.to_numpy()[:, None])[:, 0])

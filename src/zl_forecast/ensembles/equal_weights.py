"""Control: the plain mean of all inputs' quantiles, level by level (Vincentisation).

Sources: Clemen (1989), International Journal of Forecasting 5, 559-583, finds that it is hard to beat.
Lichtendahl, Grushka-Cockayne and Winkler (2013), Management Science 59(7), 1594-1611, show that averaged
quantiles are sharper than averaged probabilities.
"""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import EnsembleMethod, Rows


class EqualWeights(EnsembleMethod):
    """The same weight for every input, including the reference."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        """Return the method; there is nothing to estimate."""
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        """Mean of the inputs' quantiles, level by level."""
        return rows.quantiles.mean(axis=1)

    def weights(self, rows: Rows) -> np.ndarray:
        """Equal weights, shape (n, n_inputs)."""
        return np.full((len(rows), len(rows.inputs)), 1 / len(rows.inputs))


METHOD = EqualWeights

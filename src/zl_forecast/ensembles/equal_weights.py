"""Control: the plain mean of all inputs' quantiles, level by level (Vincentisation).

Source: Clemen (1989), International Journal of Forecasting 5, 559-583: hard to beat. That averaged quantiles are sharper than
averaged probabilities: Lichtendahl, Grushka-Cockayne and Winkler (2013), Management Science 59(7), 1594-1611.
"""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import EnsembleMethod, Rows


class EqualWeights(EnsembleMethod):
    """The same weight for every input, the reference among them."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        return rows.quantiles.mean(axis=1)

    def weights(self, rows: Rows) -> np.ndarray:
        return np.full((len(rows), len(rows.inputs)), 1 / len(rows.inputs))


METHOD = EqualWeights

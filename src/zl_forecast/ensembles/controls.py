"""The two combinations that learn nothing: the reference alone, and the plain mean of all inputs' quantiles.

Source of the second: Clemen (1989), International Journal of Forecasting 5, 559-583: hard to beat.
"""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows


class ReferenceAlone(EnsembleMethod):
    """The reference, as if there were no other input."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        return rows.input(REFERENCE)


class EqualWeights(EnsembleMethod):
    """Mean of the inputs' quantiles, level by level (Vincentisation)."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        return rows.quantiles.mean(axis=1)

"""Control: the reference without any other input. It is published if no combination is better."""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows


class ReferenceAlone(EnsembleMethod):
    """All weight on the reference."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        """Return the method; there is nothing to estimate."""
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        """The reference's quantiles."""
        return rows.input(REFERENCE)

    def weights(self, rows: Rows) -> np.ndarray:
        """One for the reference, zero for the others, shape (n, n_inputs)."""
        return np.tile(np.array(rows.inputs) == REFERENCE, (len(rows), 1)).astype(float)


METHOD = ReferenceAlone

"""Control: the reference, as if there were no other input. What is published wherever no combination has shown to be better."""

from typing import Self

import numpy as np

from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows


class ReferenceAlone(EnsembleMethod):
    """All weight on the reference."""

    needs_fit = False

    def fit(self, rows: Rows) -> Self:
        return self

    def predict(self, rows: Rows) -> np.ndarray:
        return rows.input(REFERENCE)

    def weights(self, rows: Rows) -> np.ndarray:
        return np.tile(np.array(rows.inputs) == REFERENCE, (len(rows), 1)).astype(float)


METHOD = ReferenceAlone

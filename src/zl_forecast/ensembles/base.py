"""What an ensemble method is, and the rows that it sees."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from zl_forecast import settings

REFERENCE = "reference"


@dataclass(frozen=True)
class Rows:
    """Forecasts of all inputs for the same origins.

    Attributes
    ----------
    key : DataFrame of shape (n, 2)
        as_of_date and horizon_days.
    inputs : tuple of str
        Names; `reference` is always one of them.
    quantiles : array of shape (n, n_inputs, n_levels)
        Scaled units, ascending along the last axis, no NaN: where an input has no forecast the reference stands in.
    z : array of shape (n,)
        Realised scaled returns; NaN where not matured.
    """

    key: pd.DataFrame
    inputs: tuple[str, ...]
    quantiles: np.ndarray
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.key)

    def take(self, mask: np.ndarray) -> "Rows":
        """The rows where `mask` is true."""
        return Rows(self.key[mask].reset_index(drop=True), self.inputs, self.quantiles[mask], self.z[mask])

    def input(self, name: str) -> np.ndarray:
        """Quantiles of one input, array of shape (n, n_levels)."""
        return self.quantiles[:, self.inputs.index(name)]

    def frame(self, levels: tuple[float, ...] = settings.QUANTILE_LEVELS) -> pd.DataFrame:
        """Wide features `input__q10` for a meta-learner, with horizon_days; index unique."""
        columns = [
            pd.Series(self.quantiles[:, i, j], name=f"{name}__{settings.QUANTILE_COLUMNS[j]}")
            for i, name in enumerate(self.inputs)
            for j, level in enumerate(settings.QUANTILE_LEVELS)
            if level in levels
        ]
        return pd.concat([*columns, self.key["horizon_days"].reset_index(drop=True)], axis=1)


class EnsembleMethod(ABC):
    """A way to combine the inputs. `fit` sees matured out-of-fold rows only; `predict` depends on the rows it is given alone."""

    needs_fit: bool = True  # False: the method has nothing to learn and competes from the first block on

    @abstractmethod
    def fit(self, rows: Rows) -> Self:
        """Learn from matured rows of all horizons."""

    @abstractmethod
    def predict(self, rows: Rows) -> np.ndarray:
        """Combined quantiles, array of shape (n, n_levels), scaled units."""

    def weights(self) -> dict[str, float]:
        """What the combination rests on, where it can be said in weights; keys `horizon/input`."""
        return {}

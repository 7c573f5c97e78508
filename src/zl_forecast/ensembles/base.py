"""What an ensemble method is, and the rows that it sees."""

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.distribution import mixture_quantiles

REFERENCE = "reference"
FITTED = "fitted.pkl"


@dataclass(frozen=True)
class Rows:
    """Forecasts of all inputs for the same origins.

    Attributes
    ----------
    as_of_date : array of shape (n,), datetime64
    horizon_days : array of shape (n,)
    inputs : tuple of str
        Names; `reference` is always one of them.
    quantiles : array of shape (n, n_inputs, n_levels)
        Scaled units, ascending along the last axis, no NaN: where an input has no forecast the reference stands in.
    is_present : array of shape (n, n_inputs), bool
        False where the reference stands in.
    target_date : array of shape (n,), datetime64
        The day on whose close z is known.
    z : array of shape (n,)
        Realised scaled returns; NaN where not matured.
    """

    as_of_date: np.ndarray
    horizon_days: np.ndarray
    inputs: tuple[str, ...]
    quantiles: np.ndarray
    is_present: np.ndarray
    target_date: np.ndarray
    z: np.ndarray

    def __post_init__(self) -> None:
        for values in (self.quantiles, self.z):
            values.flags.writeable = False  # several methods read the same rows

    def __len__(self) -> int:
        return len(self.z)

    def take(self, which: np.ndarray | slice) -> "Rows":
        """The rows of a mask, of positions or of a slice."""
        return Rows(
            self.as_of_date[which],
            self.horizon_days[which],
            self.inputs,
            self.quantiles[which],
            self.is_present[which],
            self.target_date[which],
            self.z[which],
        )

    def input(self, name: str) -> np.ndarray:
        """Quantiles of one input, array of shape (n, n_levels)."""
        return self.quantiles[:, self.inputs.index(name)]

    def by_horizon(self) -> Iterator[tuple[int, "Rows"]]:
        """The rows of each horizon, shortest first, in their order."""
        for horizon in np.unique(self.horizon_days):
            yield int(horizon), self.take(self.horizon_days == horizon)

    def frame(self, levels: tuple[float, ...] = settings.QUANTILE_LEVELS) -> pd.DataFrame:
        """Wide features `input__q10` for a meta-learner, with horizon_days; index unique."""
        columns = {
            f"{name}__{settings.QUANTILE_COLUMNS[j]}": self.quantiles[:, i, j]
            for i, name in enumerate(self.inputs)
            for j, level in enumerate(settings.QUANTILE_LEVELS)
            if level in levels
        }
        return pd.DataFrame(columns | {"horizon_days": self.horizon_days})


class EnsembleMethod(ABC):
    """A way to combine the inputs.

    `fit` sees the out-of-fold rows that had matured before a block. A method that learns on, day by day, says so: then `update` is
    called at each session of the block with the rows that have matured since, those of its own close among them, and `predict` with
    that session's rows alone. Rows come in the order in which they matured; those to be forecast have no outcome.
    """

    needs_fit: bool = True  # False: the method has nothing to learn and competes from the first block on
    learns_daily: bool = False

    @abstractmethod
    def fit(self, rows: Rows) -> Self:
        """Learn from matured rows of all horizons."""

    def update(self, rows: Rows) -> None:  # noqa: B027  most methods have nothing to update
        """Learn from rows that have matured since the last call."""

    @abstractmethod
    def predict(self, rows: Rows) -> np.ndarray:
        """Combined quantiles, array of shape (n, n_levels), scaled units."""

    def weights(self, rows: Rows) -> np.ndarray | None:
        """What each row's combination rests on, array of shape (n, n_inputs), where it can be said in weights."""
        return None

    def save(self, folder: Path) -> None:
        """Write the fitted method into an empty folder."""
        (folder / FITTED).write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The fitted method that `save` has written."""
        return pickle.loads((folder / FITTED).read_bytes())


@dataclass(frozen=True)
class Registered:
    """One row of the registry, seeds/ensemble_methods.csv.

    Attributes
    ----------
    method : subclass of EnsembleMethod
    module : str
        Where the seed says that it is.
    over : str, optional
        The method on whose finished forecasts it works; None where it combines the inputs.
    """

    method: type[EnsembleMethod]
    module: str
    over: str | None


class WeightedMethod(EnsembleMethod):
    """A method that is one set of weights a horizon; the quantiles are averaged level by level (Vincentisation)."""

    def fit(self, rows: Rows) -> Self:
        self.by_horizon = {horizon: self.fit_horizon(own, horizon) for horizon, own in rows.by_horizon()}
        return self

    @abstractmethod
    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Weights of the inputs at one horizon, array of shape (n_inputs,)."""

    def weights(self, rows: Rows) -> np.ndarray:
        return np.stack([self.by_horizon[horizon] for horizon in rows.horizon_days])

    def predict(self, rows: Rows) -> np.ndarray:
        return np.einsum("ni,nil->nl", self.weights(rows), rows.quantiles)


class MixtureMethod(EnsembleMethod):
    """A method with weights whose forecast is the mixture of the inputs' distributions: wider than their mean where they disagree."""

    def predict(self, rows: Rows) -> np.ndarray:
        weights = self.weights(rows)
        assert weights is not None
        return mixture_quantiles(rows.quantiles, weights)

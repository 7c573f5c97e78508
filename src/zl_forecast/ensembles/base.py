"""The base class of ensemble methods, and the rows that they read."""

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
        Sessions.
    inputs : tuple of str
        Names; `reference` is always one of them.
    quantiles : array of shape (n, n_inputs, n_levels)
        Standardised returns at `settings.QUANTILE_LEVELS`, ascending along the last axis, without NaN: if an
        input has no forecast, the reference's is used. Read-only.
    is_present : array of shape (n, n_inputs), bool
        False where the reference replaces a missing forecast.
    target_date : array of shape (n,), datetime64
        Session at whose close z_return becomes known.
    z_return : array of shape (n,)
        Realised standardised return; NaN if not matured. Read-only.
    """

    as_of_date: np.ndarray
    horizon_days: np.ndarray
    inputs: tuple[str, ...]
    quantiles: np.ndarray
    is_present: np.ndarray
    target_date: np.ndarray
    z_return: np.ndarray

    def __post_init__(self) -> None:
        for values in (self.quantiles, self.z_return):
            values.flags.writeable = False  # several methods share these arrays

    def __len__(self) -> int:
        return len(self.z_return)

    def take(self, which: np.ndarray | slice) -> "Rows":
        """Select rows.

        Parameters
        ----------
        which : array or slice
            Boolean mask of shape (n,), positions, or a slice.

        Returns
        -------
        Rows
            With the same inputs.
        """
        return Rows(
            self.as_of_date[which],
            self.horizon_days[which],
            self.inputs,
            self.quantiles[which],
            self.is_present[which],
            self.target_date[which],
            self.z_return[which],
        )

    def input(self, name: str) -> np.ndarray:
        """Return the quantiles of one input.

        Parameters
        ----------
        name : str
            One of `inputs`.

        Returns
        -------
        array of shape (n, n_levels)
            Standardised returns.
        """
        return self.quantiles[:, self.inputs.index(name)]

    def by_horizon(self) -> Iterator[tuple[int, "Rows"]]:
        """Iterate over the horizons, shortest first.

        Yields
        ------
        tuple of int and Rows
            Horizon in sessions, and its rows in their order.
        """
        for horizon in np.unique(self.horizon_days):
            yield int(horizon), self.take(self.horizon_days == horizon)

    def frame(self, levels: tuple[float, ...] = settings.QUANTILE_LEVELS) -> pd.DataFrame:
        """Build the wide feature table of a meta-learner.

        Parameters
        ----------
        levels : tuple of float
            Quantile levels to include, among `settings.QUANTILE_LEVELS`.

        Returns
        -------
        DataFrame of shape (n, n_inputs * n_levels + 1)
            Columns `<input>__<quantile>`, for example `crush__q10`, in standardised returns, and horizon_days.
        """
        columns = {
            f"{name}__{settings.QUANTILE_COLUMNS[j]}": self.quantiles[:, i, j]
            for i, name in enumerate(self.inputs)
            for j, level in enumerate(settings.QUANTILE_LEVELS)
            if level in levels
        }
        return pd.DataFrame(columns | {"horizon_days": self.horizon_days})


class EnsembleMethod(ABC):
    """A method that combines the inputs' forecasts.

    `fit` reads the out-of-fold rows that matured before a fold, in the order in which they matured. A method
    with `learns_daily` is also updated during the fold: at each session `update` gets the rows that matured
    since the last call, including those of that session's close, and then `predict` gets that session's rows.
    Rows to forecast have no outcome.

    Attributes
    ----------
    needs_fit : bool
        False if the method can forecast without matured rows, and so competes from the first fold on.
    learns_daily : bool
        Whether `update` is called at each session of a fold.
    """

    needs_fit: bool = True
    learns_daily: bool = False

    @abstractmethod
    def fit(self, rows: Rows) -> Self:
        """Fit on matured rows of all horizons.

        Parameters
        ----------
        rows : Rows
            Oldest target_date first; z_return is finite. Must not be changed.

        Returns
        -------
        Self
        """

    def update(self, rows: Rows) -> None:  # noqa: B027  most methods have nothing to update
        """Update with rows that matured since the last call; does nothing by default.

        Parameters
        ----------
        rows : Rows
            Oldest target_date first; z_return is finite. Must not be changed.
        """

    @abstractmethod
    def predict(self, rows: Rows) -> np.ndarray:
        """Forecast the quantiles of the combination.

        Parameters
        ----------
        rows : Rows
            z_return is NaN. Must not be changed.

        Returns
        -------
        array of shape (n, n_levels)
            Standardised returns at `settings.QUANTILE_LEVELS`, ascending. A row's forecast must not depend on
            the other rows.
        """

    def weights(self, rows: Rows) -> np.ndarray | None:
        """Return the weights of each row's combination, for reports.

        Parameters
        ----------
        rows : Rows
            As for `predict`.

        Returns
        -------
        array of shape (n, n_inputs), or None
            None if the combination cannot be expressed as weights.
        """
        return None

    def save(self, folder: Path) -> None:
        """Write the fitted method; by default as one pickle.

        Parameters
        ----------
        folder : Path
            Existing, empty folder.
        """
        (folder / FITTED).write_bytes(pickle.dumps(self))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the fitted method that `save` wrote.

        Parameters
        ----------
        folder : Path
            Folder that `save` filled; it may have been moved since.

        Returns
        -------
        Self
        """
        return pickle.loads((folder / FITTED).read_bytes())


@dataclass(frozen=True)
class Registered:
    """One row of the registry, seeds/ensemble_methods.csv.

    Attributes
    ----------
    method : subclass of EnsembleMethod
    module : str
        Module that the seed names.
    base_method : str, optional
        Base method, whose forecasts this method adjusts; None if it combines the inputs.
    """

    method: type[EnsembleMethod]
    module: str
    base_method: str | None


class WeightedMethod(EnsembleMethod):
    """A method with one set of weights per horizon; quantiles are averaged level by level (Vincentisation)."""

    def fit(self, rows: Rows) -> Self:
        """Fit each horizon separately, see `fit_horizon`."""
        self.by_horizon = {horizon: self.fit_horizon(own, horizon) for horizon, own in rows.by_horizon()}
        return self

    @abstractmethod
    def fit_horizon(self, rows: Rows, horizon: int) -> np.ndarray:
        """Estimate the weights of the inputs at one horizon.

        Parameters
        ----------
        rows : Rows
            Matured rows of this horizon, oldest target_date first.
        horizon : int
            Sessions; n rows hold about n / horizon independent samples.

        Returns
        -------
        array of shape (n_inputs,)
        """

    def weights(self, rows: Rows) -> np.ndarray:
        """Weights of each row's horizon, shape (n, n_inputs)."""
        return np.stack([self.by_horizon[horizon] for horizon in rows.horizon_days])

    def predict(self, rows: Rows) -> np.ndarray:
        """Weighted mean of the inputs' quantiles, level by level."""
        return np.einsum("ni,nil->nl", self.weights(rows), rows.quantiles)


class MixtureMethod(EnsembleMethod):
    """A method with weights that forecasts the mixture of the inputs' distributions.

    A mixture is wider than the mean of the quantiles where the inputs disagree.
    """

    def predict(self, rows: Rows) -> np.ndarray:
        """Quantiles of the weighted mixture, see `distribution.mixture_quantiles`."""
        weights = self.weights(rows)
        assert weights is not None
        return mixture_quantiles(rows.quantiles, weights)

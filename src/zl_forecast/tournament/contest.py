"""Interface of a contest: the competitors of one subject on one fold, as `runner.run` needs them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.tournament.splits import Fold

KEY = ["as_of_date", "horizon_days"]
QUANTILES = list(settings.QUANTILE_COLUMNS)
OF_MACHINE = {"MemoryError", "NotEnoughMemoryError", "OSError"}  # NotEnoughMemoryError is AutoGluon's
# messages of XGBoost and LightGBM, of CatBoost, and of PyTorch, each in its own exception class
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "can't allocate memory")


@dataclass(frozen=True)
class Failure:
    """Reason why a competitor has no forecasts.

    Attributes
    ----------
    status : str
        'failed', 'timed_out' or 'skipped'.
    reason : str
        For the user.
    is_final : bool
        Whether the failure is cached until the competitor's key changes; otherwise the next build retries.
    """

    status: str
    reason: str
    is_final: bool = True

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Classify an exception of a competitor: memory and disk errors are retried, all others are final.

        Parameters
        ----------
        error : Exception

        Returns
        -------
        Failure
            With status 'failed'.
        """
        if isinstance(error.__cause__, OSError):  # the store's error wraps the disk error
            error = error.__cause__
        return cls.named([cls.__name__ for cls in type(error).__mro__], f"{type(error).__name__}: {error}")

    @classmethod
    def named(cls, kinds: Iterable[str], reason: str) -> "Failure":
        """Classify an error by class names and message, which is all that AutoGluon keeps.

        Parameters
        ----------
        kinds : iterable of str
            Names of the error's class and of its base classes.
        reason : str
            Message for the user.

        Returns
        -------
        Failure
            With status 'failed'; not final if memory or disk was short.

        Examples
        --------
        >>> Failure.named(["ValueError", "Exception"], "ValueError: no rows").is_final
        True
        >>> Failure.named(["MemoryError", "Exception"], "MemoryError: ").is_final
        False
        """
        is_machine = not OF_MACHINE.isdisjoint(kinds) or any(words in reason for words in OUT_OF_MEMORY)
        return cls("failed", reason, is_final=not is_machine)


@dataclass(frozen=True)
class Competitor:
    """One competitor of a contest.

    Attributes
    ----------
    name : str
    key : str
        Fingerprint of everything that its fitted model depends on: training rows, settings, code, library
        versions.
    row_hashes : array of shape (n_rows,)
        Hash of everything else that the forecast of each row depends on.
    time_limit : float, optional
        Seconds after which its training is killed.
    skipped : str
        Reason why it skips this fold; empty if it competes.
    described : dict
        Metadata for the index of the store, see `artifacts.DESCRIBED`.
    """

    name: str
    key: str
    row_hashes: np.ndarray
    time_limit: float | None = None
    skipped: str = ""
    described: dict[str, Any] = field(default_factory=dict)


class Contest(ABC):
    """The competitors of one subject on one fold. It is pickled to the processes that train and forecast.

    Attributes
    ----------
    subject : str
        Bucket, 'core' or 'ensemble'.
    fold : Fold
    rows : DataFrame
        as_of_date and horizon_days of the rows to forecast.
    keeps_models : bool
        Whether fitted models stay in the store because this fold will get more rows.
    """

    subject: str
    fold: Fold
    rows: pd.DataFrame
    keeps_models: bool

    @property
    @abstractmethod
    def train_rows(self) -> int:
        """Number of rows that its competitors are trained on."""

    def __str__(self) -> str:
        return f"{self.subject} {self.fold.fold_type} {self.fold.start:%Y-%m}"

    @abstractmethod
    def competitors(self) -> Sequence[Competitor]:
        """List the competitors, in the order of the result table.

        Returns
        -------
        sequence of Competitor
        """

    @abstractmethod
    def train(self, name: str, folder: Path) -> dict:
        """Fit one competitor and write its model.

        Parameters
        ----------
        name : str
            Name of the competitor.
        folder : Path
            Existing, empty folder.

        Returns
        -------
        dict
            Facts that `forecast` needs, for example fit_seconds; must be valid JSON.
        """

    @abstractmethod
    def forecast(self, models: "dict[str, Model]") -> "Iterable[Forecasts]":
        """Forecast all rows with each of the models.

        Parameters
        ----------
        models : dict of str to Model
            Fitted models by competitor name.

        Returns
        -------
        iterable of Forecasts
            The table is a `Failure` for a competitor that raises.
        """


@dataclass(frozen=True)
class Model:
    """A fitted model in the store: `folder` as `Contest.train` filled it, `facts` as it returned them."""

    folder: Path
    facts: dict


@dataclass(frozen=True)
class Forecasts:
    """The forecasts of one competitor.

    Attributes
    ----------
    name : str
    table : DataFrame or Failure
        One row per row of the contest, in its order: q05 ... q95 (the runner sorts them), other columns of the
        subject's table, and optionally `status` and `reason` per row.
    files : dict
        Other tables to store beside the forecasts, by file name.
    """

    name: str
    table: pd.DataFrame | Failure
    files: dict[str, pd.DataFrame] = field(default_factory=dict)

"""What a contest is: the competitors of one subject on one fold, which `runner.run` trains and lets forecast."""

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
OF_MACHINE = {"MemoryError", "NotEnoughMemoryError", "OSError"}  # the second is AutoGluon's
# how XGBoost and LightGBM, CatBoost, and PyTorch say it, in errors of their own
OUT_OF_MEMORY = ("bad_alloc", "bad allocation", "can't allocate memory")


@dataclass(frozen=True)
class Failure:
    """Why a competitor has no forecasts.

    Attributes
    ----------
    status : str
        'failed', 'timed_out' or 'skipped'.
    reason : str
        For the user.
    is_final : bool
        Whether it stays until the competitor's key changes; else the next build tries again.
    """

    status: str
    reason: str
    is_final: bool = True

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """From what a competitor has raised: memory and disk are the machine's, everything else is its own."""
        if isinstance(error.__cause__, OSError):  # the store's own error says what to do for whoever is stopped by it
            error = error.__cause__
        return cls.named([kind.__name__ for kind in type(error).__mro__], f"{type(error).__name__}: {error}")

    @classmethod
    def named(cls, kinds: Iterable[str], reason: str) -> "Failure":
        """From the names of an error's classes and its words, which is all that AutoGluon keeps."""
        is_machine = not OF_MACHINE.isdisjoint(kinds) or any(words in reason for words in OUT_OF_MEMORY)
        return cls("failed", reason, is_final=not is_machine)


@dataclass(frozen=True)
class Competitor:
    """One competitor of a contest.

    Attributes
    ----------
    name : str
    key : str
        Fingerprint of all that its fitted model depends on: training rows, settings, code, library versions.
    row_hashes : array of shape (n_rows,)
        For each row of the contest, hash of all else that its forecast depends on.
    time_limit : float, optional
        Seconds after which its training is killed.
    skipped : str
        Why it does not compete on this fold; empty where it does.
    described : dict
        For the index of the store, see `artifacts.DESCRIBED`.
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
    fold : Fold
    rows : DataFrame
        as_of_date and horizon_days of the rows to be forecast.
    keeps_models : bool
        Whether more rows of this fold are yet to come, so that fitted models stay in the store.
    """

    subject: str
    fold: Fold
    rows: pd.DataFrame
    keeps_models: bool

    @property
    @abstractmethod
    def train_rows(self) -> int:
        """How many rows its competitors are trained on."""

    def __str__(self) -> str:
        return f"{self.subject} {self.fold.kind} {self.fold.start:%Y-%m}"

    @abstractmethod
    def competitors(self) -> Sequence[Competitor]:
        """Who competes, in the order of the table."""

    @abstractmethod
    def train(self, name: str, folder: Path) -> dict:
        """Fit one competitor and write its model into an empty folder; facts about it that `forecast` is given, as JSON takes them."""

    @abstractmethod
    def forecast(self, models: "dict[str, Model]") -> "Iterable[Forecasts]":
        """Forecasts of all rows by each of the models; a competitor that raises is a `Failure`."""


@dataclass(frozen=True)
class Model:
    """A fitted model in the store: `folder` is what `Contest.train` has written, `facts` what it has returned."""

    folder: Path
    facts: dict


@dataclass(frozen=True)
class Forecasts:
    """What a competitor forecasts.

    Attributes
    ----------
    name : str
    table : DataFrame or Failure
        One row per row of the contest, in its order: q05 ... q95 (sorted here), and any other columns of the subject's table; `status`
        and `reason` where a row has its own.
    files : dict
        More tables to be kept beside the forecasts, by file name.
    """

    name: str
    table: pd.DataFrame | Failure
    files: dict[str, pd.DataFrame] = field(default_factory=dict)

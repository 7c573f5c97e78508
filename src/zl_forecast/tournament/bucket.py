"""The families of a bucket on one fold: their input rows, fingerprints, training and forecasts."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.errors import TournamentError
from zl_forecast.families.base import Family
from zl_forecast.store import fingerprint
from zl_forecast.tournament.contest import KEY, QUANTILES, Competitor, Contest, Failure, Forecasts, Model
from zl_forecast.tournament.explain import explain_newest
from zl_forecast.tournament.predictor import FoldPredictor, fit_family, fitted_model, fold_predictor
from zl_forecast.tournament.splits import Fold, inner_split, without_drift

ATTRIBUTIONS = "attributions.parquet"


@dataclass(frozen=True)
class BucketContest(Contest):
    """The families of one level on one fold of a bucket.

    Attributes
    ----------
    features : tuple of str
    train_part, test : DataFrame
        Columns as_of_date, horizon_days, target_date, z_return (standardised return), the features, and `row_hash` of
        key and features. In `test`, z_return is used only for scoring.
    lookback : DataFrame, optional
        `families.lookback.lookback_columns` of the fold's sessions and those before, with `row_hash`, for
        families that read it.
    families : dict
        Family by name.
    limits : dict
        Time limit for training in seconds, by family name.
    skipped : str
        Reason why all families skip this fold; empty if they compete.
    """

    subject: str
    fold: Fold
    features: tuple[str, ...]
    train_part: pd.DataFrame
    test: pd.DataFrame
    lookback: pd.DataFrame | None
    keeps_models: bool
    families: dict[str, Family]
    limits: dict[str, float]
    skipped: str = ""

    @cached_property
    def rows(self) -> pd.DataFrame:
        """as_of_date and horizon_days of the rows to forecast."""
        return self.test[KEY]

    @cached_property
    def train_rows(self) -> int:
        """Number of training rows."""
        return len(self.train_part)

    # ---------- columns and rows that families read

    def seen(self, part: pd.DataFrame, reads_lookback: bool) -> pd.DataFrame:
        """Select the columns that a family may read.

        Parameters
        ----------
        part : DataFrame
            `train_part`, `test`, or rows of them.
        reads_lookback : bool
            Whether to add the look-back columns.

        Returns
        -------
        DataFrame
            horizon_days, features and, if requested, the look-back; index of `part`.
        """
        own = part[["horizon_days", *self.features]]
        if not reads_lookback or self.lookback is None:
            return own
        seen = self.lookback.set_index("as_of_date").drop(columns="row_hash").loc[part["as_of_date"]]
        return pd.concat([own, seen.set_axis(part.index)], axis=1)

    def inner_rows(self, reads_lookback: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Split the training rows into a fit part and the newest part for validation, purged between the two.

        Parameters
        ----------
        reads_lookback : bool
            Whether to add the look-back columns.

        Returns
        -------
        tuple of two DataFrames
            Fit part and tuning part: the columns of `seen`, and z_return without each horizon's median.

        Raises
        ------
        TournamentError
            If the fit part is empty.
        """
        parts = inner_split(without_drift(self.train_part))
        if parts[0].empty:
            raise TournamentError(f"{self.train_rows} training rows are too few to split off a tuning part")
        fit_rows, tuning_rows = (self.seen(part, reads_lookback).assign(z_return=part["z_return"]) for part in parts)
        return fit_rows, tuning_rows

    # ---------- fingerprints

    @cached_property
    def _session_hashes(self) -> pd.Series:
        """Hash of each session's look-back, by as_of_date."""
        assert self.lookback is not None
        return self.lookback.set_index("as_of_date")["row_hash"]

    def row_hashes(self, family: Family) -> np.ndarray:
        """Hash everything that the forecast of each test row depends on, besides the fitted model.

        Parameters
        ----------
        family : Family

        Returns
        -------
        array of uint64, shape (n_rows,)
        """
        hashes = self.test["row_hash"].to_numpy()
        if family.reads_lookback:
            hashes = hashes * np.uint64(31) + self._session_hashes[self.test["as_of_date"]].to_numpy()
        return hashes

    def data_fingerprint(self, family: Family) -> str:
        """Return the fingerprint of the rows that a family is trained on.

        Parameters
        ----------
        family : Family

        Returns
        -------
        str
        """
        return self._train_hash + (self._train_lookback_hash if family.reads_lookback else "")

    @cached_property
    def _train_hash(self) -> str:
        # target_date decides which rows are purged
        of_rows = fingerprint.of_frame(self.train_part[["row_hash", "target_date", "z_return"]])
        return fingerprint.combine(of_rows, self.features)

    @cached_property
    def _train_lookback_hash(self) -> str:
        assert self.lookback is not None
        used = self._session_hashes[self.train_part["as_of_date"].unique()]
        return fingerprint.combine(used.to_numpy().tobytes(), tuple(self.lookback.columns))

    def competitors(self) -> Sequence[Competitor]:
        """The families, in the order of the registry."""
        return self._competitors

    @cached_property
    def _competitors(self) -> tuple[Competitor, ...]:
        return tuple(self._competitor(name, family) for name, family in self.families.items())

    def _competitor(self, name: str, family: Family) -> Competitor:
        data, code = self.data_fingerprint(family), code_fingerprint(family)
        # fold_type, because in January the live fold and the year's fold start on the same date
        key = fingerprint.combine(
            self.subject, self.fold.fold_type, self.fold.start, name, data, code, fingerprint.library_versions()
        )
        described = {
            "bucket": self.subject,
            "family": name,
            "fold_type": self.fold.fold_type,
            "fold_start": self.fold.start.date(),
            "trained_until": self.fold.train_until.date(),
            "data_fingerprint": data,
            "code_fingerprint": code,
        }
        return Competitor(name, key, self.row_hashes(family), self.limits[name], self.skipped, described)

    # ---------- runs in a worker process

    def train(self, name: str, folder: Path) -> dict:
        """Fit one family and save its models in `folder`; return `fit_seconds`."""
        family = self.families[name]
        centred = without_drift(self.train_part)
        all_rows = self.seen(centred, family.reads_lookback).assign(z_return=centred["z_return"])
        return fit_family(family, *self.inner_rows(family.reads_lookback), all_rows, folder)

    def forecast(self, models: dict[str, Model]) -> Iterator[Forecasts]:
        """Forecast all rows with each family; a family that raises yields a `Failure`."""
        reads_lookback = any(self.families[name].reads_lookback for name in models)
        stored = {name: (str(model.folder), model.facts) for name, model in models.items()}
        with fold_predictor(self.families, stored, *self.inner_rows(reads_lookback)) as predictor:
            losses = predictor.validation_losses()
            for name, model in models.items():
                try:
                    yield self._forecasts(name, predictor, losses, model)
                except Exception as error:  # a failing family does not affect the others; its rows record the reason
                    yield Forecasts(name, Failure.of(error))

    def _forecasts(self, name: str, predictor: FoldPredictor, losses: pd.Series, model: Model) -> Forecasts:
        if name in predictor.failures:
            reason = predictor.failures[name]
            return Forecasts(name, Failure.named([reason.partition(":")[0]], reason))
        rows = self.seen(self.test, reads_lookback=True)
        values = predictor.forecast(name, rows)
        newest = rows[(self.test["as_of_date"] == self.test["as_of_date"].max()).to_numpy()]
        started = time.perf_counter()
        predictor.forecast(name, newest)  # only to time the forecast of one session
        table = pd.DataFrame(values, columns=QUANTILES).assign(
            score_seconds=time.perf_counter() - started,
            fit_seconds=sum(model.facts["fit_seconds"].values()),
            validation_loss=losses[name],
        )
        is_explained = self.fold.fold_type == "live" and np.isfinite(values).all()
        return Forecasts(name, table, {ATTRIBUTIONS: self._attributions(name, model)} if is_explained else {})

    def _attributions(self, name: str, model: Model) -> pd.DataFrame:
        """Attributions over the newest `settings.EXPLAINED_SESSIONS` sessions, and of the newest session alone."""
        family = self.families[name]
        rows = pd.concat([self.train_part, self.test]).drop_duplicates(KEY).sort_values(KEY)
        first = np.sort(rows["as_of_date"].unique())[-settings.EXPLAINED_SESSIONS :][0]
        rows = rows[rows["as_of_date"] >= first].reset_index(drop=True)
        fitted = fitted_model(family, model.folder, model.facts)
        return explain_newest(f"{self} {name}", family, fitted, rows[KEY], self.seen(rows, family.reads_lookback))


def code_fingerprint(family: Family) -> str:
    """Return the fingerprint of a family's registration and of the code that fits it.

    Parameters
    ----------
    family : Family

    Returns
    -------
    str
    """
    model, explain = family.model, family.explain
    modules = {own.__module__ for own in (model, explain) if own is not None and not isinstance(own, str)}
    return fingerprint.combine(
        model if isinstance(model, str) else f"{model.__module__}.{model.__qualname__}",
        family.hyperparameters,
        explain and f"{explain.__module__}.{explain.__qualname__}",
        fingerprint.of_code(__name__, *sorted(modules)),
    )

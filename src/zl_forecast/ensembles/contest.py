"""The ensemble methods on one fold: fitted on out-of-fold rows that matured before it, then forecasting its rows."""

import json
import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Registered, Rows
from zl_forecast.store import fingerprint
from zl_forecast.tournament.contest import QUANTILES, Competitor, Contest, Failure, Forecasts, Model
from zl_forecast.tournament.splits import Fold

SUBJECT = "ensemble"
MIN_SHOWN_WEIGHT = 5e-4


@dataclass(frozen=True)
class EnsembleContest(Contest):
    """The methods of one level on one fold, with the out-of-fold rows that matured before its end.

    Attributes
    ----------
    methods : dict
        Registered method by name.
    history : Rows
        In the order in which they matured. Methods are fitted on rows that matured before `fold.train_until`.
        Methods that learn daily get the later rows on the session on which they matured.
    test : Rows
        Ordered by as_of_date, horizon_days; without outcomes.
    """

    fold: Fold
    methods: dict[str, Registered]
    history: Rows
    test: Rows
    subject: str = SUBJECT

    @cached_property
    def rows(self) -> pd.DataFrame:
        """as_of_date and horizon_days of the rows to forecast."""
        return pd.DataFrame({"as_of_date": self.test.as_of_date, "horizon_days": self.test.horizon_days})

    @cached_property
    def train_rows(self) -> int:
        """Number of training rows."""
        return len(self._train)

    @cached_property
    def keeps_models(self) -> bool:  # type: ignore[override]  # a field in other contests; never assigned
        """Whether fitted methods are stored: only for the live fold, which gets new rows daily but no training rows."""
        return self.fold.fold_type == "live"

    @cached_property
    def _train(self) -> Rows:
        return self.matured(None, _day_before(self.fold.train_until))

    @cached_property
    def _n_matured(self) -> dict[int, int]:
        """Number of training rows by horizon."""
        return {horizon: len(own) for horizon, own in self._train.by_horizon()}

    def matured(self, after: np.datetime64 | None, upto: np.datetime64) -> Rows:
        """Select the rows of the history that matured between two dates.

        Parameters
        ----------
        after : datetime64, optional
            Exclusive lower bound of target_date; None for no bound.
        upto : datetime64
            Inclusive upper bound of target_date.

        Returns
        -------
        Rows
            In the order in which they matured.
        """
        days = self.history.target_date
        first = 0 if after is None else np.searchsorted(days, after, side="right")
        return self.history.take(slice(first, np.searchsorted(days, upto, side="right")))

    def is_able(self, method: type[EnsembleMethod]) -> np.ndarray:
        """Mark the test rows for which a method has enough matured rows of their horizon.

        Parameters
        ----------
        method : subclass of EnsembleMethod

        Returns
        -------
        array of bool, shape (n_rows,)
            All True if the method needs no fit.
        """
        needed = settings.MATURED_FOR_ENSEMBLE if method.needs_fit else 0
        return np.array(
            [self._n_matured.get(int(horizon), 0) >= needed for horizon in self.test.horizon_days], dtype=bool
        )

    def competitors(self) -> Sequence[Competitor]:
        """The methods, in the order of the registry."""
        return self._competitors

    @cached_property
    def _competitors(self) -> tuple[Competitor, ...]:
        learnt = fingerprint.of_array(row_hashes(self._train))
        row = row_hashes(self.test)
        return tuple(
            Competitor(
                name,
                fingerprint.combine(
                    SUBJECT,
                    self.fold.fold_type,
                    self.fold.start,
                    self.fold.train_until,
                    name,
                    registered.module,
                    fingerprint.of_code(__name__, registered.module, registered.method.__module__),
                    (self.history.inputs, learnt, sorted(set(self.test.horizon_days.tolist()))),
                    fingerprint.library_versions(),
                ),
                self._daily_hashes(row) if registered.method.learns_daily else row,
                described={
                    "bucket": SUBJECT,
                    "family": name,
                    "fold_type": self.fold.fold_type,
                    "fold_start": self.fold.start.date(),
                    "trained_until": self.fold.train_until.date(),
                },
            )
            for name, registered in self.methods.items()
        )

    def _daily_hashes(self, row: np.ndarray) -> np.ndarray:
        """Hash each row with everything that a method which learns daily has read before it forecasts the row.

        That is the matured rows, and the sessions at which the method was updated.
        """
        matured = np.concatenate([[0], row_hashes(self.history).cumsum(dtype=np.uint64)]).astype(np.uint64)
        until = np.searchsorted(self.history.target_date, self.test.as_of_date, side="right")
        days = np.searchsorted(np.unique(self.test.as_of_date), self.test.as_of_date)
        updates = np.bincount(days, minlength=1).cumsum().astype(np.uint64)[days]
        return row * np.uint64(31) + matured[until] * np.uint64(17) + updates

    # ---------- runs in a worker process

    def train(self, name: str, folder: Path) -> dict:
        """Fit one method and save it in `folder`; return whether it could be saved."""
        started = time.perf_counter()
        method = self._fitted(self.methods[name].method)
        seconds = time.perf_counter() - started
        try:
            method.save(folder)
        except (pickle.PicklingError, AttributeError, TypeError):  # `forecast` fits it again
            return {"fit_seconds": seconds, "is_saved": False}
        return {"fit_seconds": seconds, "is_saved": True}

    def _fitted(self, method: type[EnsembleMethod]) -> EnsembleMethod:
        """Fit a method on rows of the horizons that it can forecast; return it unfitted if there are none."""
        horizons = self.test.horizon_days[self.is_able(method)]
        fitted = method()
        if len(horizons):
            fitted.fit(self._train.take(np.isin(self._train.horizon_days, horizons)))
        return fitted

    def forecast(self, models: dict[str, Model]) -> Iterator[Forecasts]:
        """Forecast all rows with each method; a method that raises yields a `Failure`."""
        for name, model in models.items():
            method = self.methods[name].method
            try:
                fitted = method.load(model.folder) if model.facts["is_saved"] else self._fitted(method)
                yield Forecasts(name, self._forecasts(fitted).assign(fit_seconds=model.facts["fit_seconds"]))
            except Exception as error:  # a failing method does not affect the others; its rows record the reason
                yield Forecasts(name, Failure.of(error))

    def _forecasts(self, method: EnsembleMethod) -> pd.DataFrame:
        """Forecast the rows of horizons that the method was fitted on; the others have status skipped."""
        able = self.is_able(type(method))
        table = pd.DataFrame(np.nan, index=range(len(able)), columns=QUANTILES)
        table = table.assign(weights="{}", inputs=_inputs(self.test), status="ok", reason="", score_seconds=0.0)
        table.loc[~able, "status"] = "skipped"
        table.loc[~able, "reason"] = [
            f"{self._n_matured.get(int(horizon), 0)} matured rows at this horizon, "
            f"at least {settings.MATURED_FOR_ENSEMBLE} are needed"
            for horizon in self.test.horizon_days[~able]
        ]
        if able.any():
            test = self.test.take(able)
            started = time.perf_counter()
            quantiles, weights = _checked(*(_walk if method.learns_daily else _at_once)(method, self, test), test)
            table.loc[able, "score_seconds"] = time.perf_counter() - started
            table.loc[able, QUANTILES] = quantiles
            table.loc[able, "weights"] = list(_weights_as_json(weights, test))
            table.loc[able, "inputs"] = _inputs(test)
            table.loc[able, "reason"] = _replacements(test)
        return table


def row_hashes(rows: Rows) -> np.ndarray:
    """Hash each row: origin, horizon, forecasts of all inputs, and outcome.

    Parameters
    ----------
    rows : Rows

    Returns
    -------
    array of uint64, shape (n_rows,)
    """
    columns = {"as_of_date": rows.as_of_date, "target_date": rows.target_date, "z_return": rows.z_return}
    present = rows.is_present @ (2 ** np.arange(len(rows.inputs)))
    return fingerprint.with_row_hash(rows.frame().assign(**columns, present=present))["row_hash"].to_numpy()


def _at_once(method: EnsembleMethod, contest: EnsembleContest, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    return method.predict(test), method.weights(test)


def _walk(method: EnsembleMethod, contest: EnsembleContest, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    """Session by session, update the method with the rows matured by that close, then forecast."""
    known = _day_before(contest.fold.train_until)
    quantiles: list[np.ndarray] = []
    weights: list[np.ndarray] = []
    for day in np.unique(test.as_of_date):
        new = contest.matured(known, day)
        new = new.take(np.isin(new.horizon_days, test.horizon_days))
        if len(new):
            method.update(new)
        known = day
        today = test.take(test.as_of_date == day)
        quantiles.append(method.predict(today))
        if (own := method.weights(today)) is not None:
            weights.append(own)
    return np.concatenate(quantiles), np.concatenate(weights) if weights else None


def _day_before(day: pd.Timestamp) -> np.datetime64:
    """The day before: rows that matured before `day` matured on or before it."""
    return (day - pd.Timedelta(days=1)).to_datetime64()


def _checked(quantiles: np.ndarray, weights: np.ndarray | None, test: Rows) -> tuple[np.ndarray, np.ndarray | None]:
    """Check the shapes and weights that a method returned. A row without finite quantiles fails alone, see `runner`."""
    for what, values, width in (("quantiles", quantiles, len(QUANTILES)), ("weights", weights, len(test.inputs))):
        if values is not None and np.shape(values) != (len(test), width):
            raise ValueError(f"{what} of shape {np.shape(values)}, not {(len(test), width)}")
    if weights is not None and not np.isfinite(weights).all():
        raise ValueError(f"{(~np.isfinite(weights)).any(axis=1).sum()} rows of weights are not finite")
    return quantiles, weights


def _inputs(rows: Rows) -> str:
    return " ".join(sorted(np.array(rows.inputs)[rows.is_present.any(axis=0)]))


def _replacements(rows: Rows) -> str:
    """List the missing inputs replaced by the reference, with row counts."""
    missing = {name: int((~rows.is_present[:, i]).sum()) for i, name in enumerate(rows.inputs)}
    replaced = [f"{name} ({count} of {len(rows)} rows)" for name, count in missing.items() if count]
    return f"the reference replaces missing forecasts of {', '.join(replaced)}" if replaced else ""


def _weights_as_json(weights: np.ndarray | None, rows: Rows) -> Iterator[str]:
    """Format the effective weights as JSON; the weight of an input that the reference replaced is the reference's."""
    if weights is None:
        yield from ["{}"] * len(rows)
        return
    effective = np.where(rows.is_present, weights, 0.0)
    effective[:, rows.inputs.index(REFERENCE)] += (weights - effective).sum(axis=1)
    # always name the reference, so that every row shows what replaced the missing inputs
    for row in effective.tolist():
        by_input = dict(zip(rows.inputs, row, strict=True))
        yield json.dumps({n: round(w, 4) for n, w in by_input.items() if w >= MIN_SHOWN_WEIGHT or n == REFERENCE})

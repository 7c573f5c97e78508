"""Checks that every ensemble method must pass, for authors of methods. Modelled on scikit-learn's `check_estimator`.

>>> from zl_forecast.ensembles.check import check_method
>>> check_method("zl_forecast.ensembles.average")  # doctest: +SKIP
"""

from copy import deepcopy
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from zl_forecast import settings
from zl_forecast.checks import ROUNDING, Subject, one_thread
from zl_forecast.ensembles.base import REFERENCE, EnsembleMethod, Rows
from zl_forecast.registry import load_constant

MEDIAN = settings.QUANTILE_LEVELS.index(0.5)
HORIZONS = (5, 20)
SESSIONS, TEST_SESSIONS = 400, 10
INPUTS = ("first", "second", REFERENCE)
MOST_RELATIVE_TO_INPUTS = 3  # limit of a forecast, as a multiple of the inputs' largest quantile
LEVELS = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])  # of a standard normal, at `settings.QUANTILE_LEVELS`


def check_method(method: type[EnsembleMethod] | str) -> None:
    """Check that an ensemble method meets the requirements of the ensemble tournament; return silently if it does.

    The method is fitted as in the tournament on 400 sessions of two horizons and forecasts ten more sessions.
    In some rows the reference replaces a missing input. A method that learns daily is updated before each of
    the ten sessions. The check takes about as long as four fits and the start of a process.

    Parameters
    ----------
    method : subclass of EnsembleMethod or str
        A method, or the name of the module with the constant METHOD, as in column module of
        seeds/ensemble_methods.csv.

    Raises
    ------
    CheckError
        At the first check that fails. `check` is its name; the message names the method and the problem. The
        checks are

        fits : it can be built without arguments, fitted and, if it learns daily, updated
        keeps_rows : none of its functions changes the rows that it is given
        forecasts : finite, ascending quantiles of shape (n_rows, n_levels)
        weights : None, or finite weights of shape (n_rows, n_inputs)
        own_row : a single row gets the same forecast as among the rows of its session
        one_horizon : it can be fitted on rows of one horizon, and forecasts that horizon
        reference_only : it can be fitted if the reference is the only input
        quiet_input : its forecasts stay finite and bounded if an input that hardly moved before moves
        no_history : if it needs no fit, it forecasts without a matured row
        loads : a fresh process gets the same forecasts from the saved method, in another folder
        repeats : a second fit, in a fresh process, gives the same forecasts
        random_state : NumPy's global random state is unchanged
    TournamentError
        If the module cannot be found or imported, or has no METHOD.
    """
    if isinstance(method, str):
        title = f"ensemble method '{method}'"
        own: type[EnsembleMethod] = load_constant(
            title,
            method,
            "METHOD",
            "<your subclass of EnsembleMethod>",
            lambda own: isinstance(own, type) and issubclass(own, EnsembleMethod),
        )
    else:
        title, own = f"ensemble method '{method.__module__}.{method.__qualname__}'", method
    trial = _Trial(title, own, _input_rows())
    with TemporaryDirectory(prefix="zl-check-") as folder, one_thread(), trial.check_random_state():
        _check(trial, Path(folder) / "fitted")


@dataclass(frozen=True)
class _Trial(Subject):
    """A method and its test rows, in the order in which they mature."""

    method: type[EnsembleMethod]
    rows: Rows

    @cached_property
    def first_day(self) -> np.datetime64:
        """First session to forecast."""
        return np.unique(self.rows.as_of_date)[SESSIONS]

    def train(self) -> Rows:
        """Return the rows that matured before the first session to forecast."""
        return self.rows.take(self.rows.target_date < self.first_day)

    def test(self) -> Rows:
        """Return the rows to forecast, without outcomes, ordered by session and horizon."""
        which = np.flatnonzero(self.rows.as_of_date >= self.first_day)
        which = which[np.lexsort((self.rows.horizon_days[which], self.rows.as_of_date[which]))]
        return replace(self.rows.take(which), z_return=np.full(len(which), np.nan))

    def fitted(self, rows: Rows, check: str = "fits", where: str = "") -> EnsembleMethod:
        """Fit the method on rows, and check what `fit` returns."""
        given = deepcopy(rows)
        with self.failing(check, f"cannot be fitted{where}"):
            fitted = self.method().fit(rows)
        if not isinstance(fitted, self.method):
            self.fail(check, f"returns {fitted!r:.60} from fit. Return self.")
        self.check_unchanged(given, rows, "fit")
        return fitted

    def check_unchanged(self, before: Rows, after: Rows, what: str) -> None:
        """Fail unless rows are unchanged, compared with a copy made before the call of method `what`."""
        for field in fields(Rows):
            if not _same(getattr(before, field.name), getattr(after, field.name)):
                self.fail("keeps_rows", f"changes {field.name} of the rows passed to {what}. Copy it first.")

    def forecast(self, method: EnsembleMethod, rows: Rows, check: str = "forecasts", where: str = "") -> np.ndarray:
        """Forecast rows, and check the quantiles."""
        given = deepcopy(rows)
        with self.failing(check, f"cannot forecast{where}"):
            quantiles = method.predict(rows)
        self.check_unchanged(given, rows, "predict")
        return self.check_quantiles(check, quantiles, len(rows), where)


def _check(trial: _Trial, folder: Path) -> None:
    train, test = trial.train(), trial.test()
    method = trial.fitted(train)
    folder.mkdir()
    with trial.failing("loads", "cannot be saved"):
        method.save(folder)
    quantiles = []
    for matured, today in _sessions(trial):
        if method.learns_daily:
            given = deepcopy(matured)
            with trial.failing("fits", "cannot be updated"):
                method.update(matured)
            trial.check_unchanged(given, matured, "update")
        quantiles.append(trial.forecast(method, today))
        _check_weights(trial, method, today)
        alone = trial.forecast(method, today.take(slice(0, 1)), "own_row", " of a single row")
        trial.check_same(
            "own_row", alone, quantiles[-1][:1], "forecasts a single row differently than among others", ROUNDING
        )
    moved = folder.rename(folder.with_name("moved"))
    trial.check_fresh_process(_forecast_again, (trial, moved), np.concatenate(quantiles))

    for check, where, change in (
        ("one_horizon", " on one horizon", lambda rows: rows.take(rows.horizon_days == HORIZONS[1])),
        ("reference_only", " without an input beside the reference", _only_reference),
    ):
        trial.forecast(trial.fitted(change(train), check, where), change(test), check, where)
    quiet = trial.forecast(trial.fitted(_with_quiet_input(train), "quiet_input"), test, "quiet_input")
    if np.abs(quiet).max() > (limit := MOST_RELATIVE_TO_INPUTS * np.abs(test.quantiles).max()):
        trial.fail(
            "quiet_input",
            f"forecasts {np.abs(quiet).max():.4g} standard deviations, above {limit:.3g}, when an input whose median hardly "
            "moved in the rows of the fit moves. Bound its weight, for example by a prior.",
        )
    if not method.needs_fit:
        trial.forecast(
            trial.fitted(train.take(slice(0, 0)), "no_history", " without a matured row"),
            test,
            "no_history",
            " without a matured row",
        )


def _sessions(trial: _Trial) -> "list[tuple[Rows, Rows]]":
    """For each session to forecast: the rows matured since the previous one, its own close included, and its rows."""
    rows, test = trial.rows, trial.test()
    days = np.unique(test.as_of_date)
    before = [trial.first_day - np.timedelta64(1, "D"), *days[:-1]]
    return [
        (
            rows.take((rows.target_date > since) & (rows.target_date <= day)),
            test.take(test.as_of_date == day),
        )
        for since, day in zip(before, days, strict=True)
    ]


def _check_weights(trial: _Trial, method: EnsembleMethod, rows: Rows) -> None:
    with trial.failing("weights", "cannot compute its weights"):
        weights = method.weights(rows)
    if weights is None:
        return
    if np.shape(weights) != (shape := (len(rows), len(rows.inputs))):
        trial.fail("weights", f"has weights of shape {np.shape(weights)}, not {shape}")
    if not np.isfinite(weights).all():
        trial.fail("weights", "has weights that are not finite")


def _forecast_again(task: tuple[_Trial, Path], is_second_fit: bool) -> np.ndarray:
    """Forecast in a fresh process, with the saved method or with a second fit."""
    trial, saved = task
    method = trial.method().fit(trial.train()) if is_second_fit else trial.method.load(saved)
    quantiles = []
    for matured, today in _sessions(trial):
        if method.learns_daily:
            method.update(matured)
        quantiles.append(method.predict(today))
    return np.concatenate(quantiles)


# ---------- rows


def _input_rows() -> Rows:
    """Simulate forecasts of two inputs and of the reference, with outcomes, in the order in which they mature.

    The first input carries a signal. The reference replaces every seventh forecast of the second one.
    """
    rng, n = np.random.default_rng(settings.SEED), SESSIONS + TEST_SESSIONS
    days = pd.bdate_range("2000-01-03", periods=n + max(HORIZONS)).to_numpy()
    parts = []
    for horizon in HORIZONS:
        signal = rng.standard_normal(n)
        z_return = 0.5 * signal + rng.standard_normal(n)
        medians = np.stack([0.5 * signal, rng.standard_normal(n), np.zeros(n)], axis=1)
        is_present = np.ones((n, len(INPUTS)), dtype=bool)
        is_present[::7, 1] = False
        medians[~is_present] = 0.0
        parts.append(
            (
                days[:n],
                np.full(n, horizon),
                medians[:, :, None] + LEVELS,
                is_present,
                days[horizon : n + horizon],
                z_return,
            )
        )
    as_of, horizons, quantiles, present, target, z_return = (np.concatenate(own) for own in zip(*parts, strict=True))
    order = np.lexsort((horizons, as_of, target))
    return Rows(as_of, horizons, INPUTS, quantiles, present, target, z_return).take(order)


def _only_reference(rows: Rows) -> Rows:
    """Keep the reference as the only input of rows."""
    which = [rows.inputs.index(REFERENCE)]
    return replace(rows, inputs=(REFERENCE,), quantiles=rows.quantiles[:, which], is_present=rows.is_present[:, which])


def _with_quiet_input(rows: Rows) -> Rows:
    """Rows in which the median of the first input, which carries the signal, moves by a millionth only."""
    quantiles = rows.quantiles.copy()
    quantiles[:, 0] = LEVELS + 1e-6 * quantiles[:, 0, [MEDIAN]]
    return replace(rows, quantiles=quantiles)


def _same(own: object, other: object) -> bool:
    if not isinstance(own, np.ndarray) or not isinstance(other, np.ndarray):
        return own == other
    return np.array_equal(own, other, equal_nan=own.dtype.kind in "fM")

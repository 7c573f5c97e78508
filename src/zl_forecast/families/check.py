"""Checks that every model family must pass, for authors of families. Modelled on scikit-learn's `check_estimator`.

>>> from zl_forecast.families.check import check_family
>>> check_family("zl_forecast.families.reference")  # doctest: +SKIP
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from autogluon.core.models import AbstractModel

from zl_forecast import settings
from zl_forecast.checks import ROUNDING, Subject, one_thread
from zl_forecast.families.base import Explanation, Family
from zl_forecast.families.lookback import lookback_columns
from zl_forecast.families.stacking import column
from zl_forecast.registry import load_constant
from zl_forecast.tournament.explain import SIGNED
from zl_forecast.tournament.predictor import fit_family, fitted_model
from zl_forecast.tournament.splits import inner_split, without_drift

HORIZONS = (5, 20, 60)
SESSIONS, TEST_SESSIONS = 640, 30
FEATURES = ("drive", "late", "walk", "idle")
CHANNELS = ("drive", "late")  # features with a look-back
MEMBERS = ("first", "second", "third", "fourth")  # families whose forecasts a second-level family reads
LEVELS = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])  # of a standard normal, at `settings.QUANTILE_LEVELS`
METHODS = (*SIGNED, "attention", "variable_selection", "parameters")
NOT_SHOWN = ["as_of_date", "target_date", "z_return"]


def check_family(family: Family | str) -> None:
    """Check that a family meets the requirements of the tournament; return silently if it does.

    The family is fitted as in the tournament on 640 sessions of three horizons, with missing values, a constant
    feature and one that begins late; it forecasts 30 more sessions. The check takes about as long as two fits
    and the start of a process.

    Parameters
    ----------
    family : Family or str
        A family, or the name of the module with the constant FAMILY, as in column module of seeds/families.csv.

    Raises
    ------
    CheckError
        At the first check that fails. `check` is its name; the message names the family and the problem. The
        checks are

        fits : it can be fitted, validated and refitted
        keeps_rows : neither fitting nor forecasting changes the rows that it is given
        forecasts : finite, ascending quantiles of shape (n_rows, n_levels)
        missing_values : the same if a feature is missing that was present in training
        own_row : rows of one horizon, and a single row, get the same forecasts as among all others
        explains : its explanations have a known method and a value for each row
        loads : a fresh process gets the same forecasts from the saved model, in another folder
        repeats : a second fit, in a fresh process, gives the same forecasts
        random_state : NumPy's global random state is unchanged
    TournamentError
        If the module cannot be found or imported, or has no FAMILY.
    """
    if isinstance(family, str):
        title = f"family '{family}'"
        own: Family = load_constant(title, family, "FAMILY", "Family(...)", lambda own: isinstance(own, Family))
    else:
        title, own = f"family '{_name(family)}'", family
    rows = _second_level_rows() if own.is_second_level else _mart_rows(own.reads_lookback)
    trial = _Trial(title, own, rows)
    with TemporaryDirectory(prefix="zl-check-") as folder, one_thread(), trial.check_random_state():
        _check(trial, Path(folder) / "fitted")


@dataclass(frozen=True)
class _Trial(Subject):
    """A family and its test rows: as_of_date, horizon_days, target_date, z_return (NaN in the rows to forecast), features."""

    family: Family
    rows: pd.DataFrame

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Split the training rows into fit part and tuning part, as the tournament does; return both and all training rows."""
        train = without_drift(self.rows[self.rows["z_return"].notna()])
        fit_rows, tuning_rows, all_rows = (
            part.drop(columns=["as_of_date", "target_date"]) for part in (*inner_split(train), train)
        )
        return fit_rows, tuning_rows, all_rows

    def to_forecast(self) -> pd.DataFrame:
        """Return the rows to forecast, as the family reads them: horizon_days and the features."""
        return self.rows[self.rows["z_return"].isna()].drop(columns=NOT_SHOWN).reset_index(drop=True)


def _check(trial: _Trial, folder: Path) -> None:
    parts = trial.parts()
    given = [part.copy() for part in parts]
    folder.mkdir()
    with trial.failing("fits", "cannot be fitted"):
        facts = fit_family(trial.family, *parts, folder)
        model = fitted_model(trial.family, folder, facts)
    _check_unchanged(trial, given, parts, "fitting")

    X = trial.to_forecast()
    given_X = X.copy()
    quantiles = _forecast(trial, model, X, "forecasts")
    _check_unchanged(trial, (given_X,), (X,), "forecasting")
    _check_missing_values(trial, model, X)
    _check_own_row(trial, model, X, quantiles)
    _check_explanations(trial, model, X)
    moved = folder.rename(folder.with_name("moved"))
    trial.check_fresh_process(_forecast_again, (trial, moved, facts), quantiles)


def _forecast(trial: _Trial, model: AbstractModel, X: pd.DataFrame, check: str, where: str = "") -> np.ndarray:
    """Forecast rows, and check the quantiles."""
    with trial.failing(check, f"cannot forecast{where}"):
        quantiles = np.asarray(model.predict_proba(X), float)
    return trial.check_quantiles(check, quantiles, len(X), where)


def _check_unchanged(trial: _Trial, before: Sequence, after: Sequence, what: str) -> None:
    if not all(own.equals(other) for own, other in zip(before, after, strict=True)):
        trial.fail("keeps_rows", f"changes the rows passed for {what}. Copy them first.")


def _check_missing_values(trial: _Trial, model: AbstractModel, X: pd.DataFrame) -> None:
    """Remove each feature in one row, as if a source were late.

    For a second-level family, remove all forecasts of one family.
    """
    gaps = X.copy()
    if trial.family.is_second_level:
        gaps.loc[1, [name for name in X if name.startswith(MEMBERS[0])]] = np.nan
    else:
        for row, name in enumerate(FEATURES):
            gaps.loc[row, name] = np.nan
    _forecast(trial, model, gaps, "missing_values", " where a feature is missing")


def _check_own_row(trial: _Trial, model: AbstractModel, X: pd.DataFrame, quantiles: np.ndarray) -> None:
    one_horizon = np.flatnonzero(X["horizon_days"] == HORIZONS[1])
    for positions, what in ((one_horizon, "rows of one horizon"), (one_horizon[:1], "a single row")):
        own = _forecast(trial, model, X.iloc[positions].reset_index(drop=True), "own_row", f" in {what}")
        trial.check_same(
            "own_row", own, quantiles[positions], f"forecasts {what} differently than among all rows", ROUNDING
        )


def _check_explanations(trial: _Trial, model: AbstractModel, X: pd.DataFrame) -> None:
    if trial.family.explain is None:
        return
    with trial.failing("explains", "cannot explain its forecasts"):
        explanations = trial.family.explain(model, X)
    for own in explanations:
        if not isinstance(own, Explanation) or own.method not in METHODS:
            trial.fail(
                "explains", f"returns the explanation {own!r:.80}. Use an Explanation with one of {', '.join(METHODS)}."
            )
        for values in (own.median, own.width):
            if values is None:
                continue
            if not values.index.equals(X.index):
                trial.fail("explains", f"explains by {own.method} with an index that differs from that of the rows")
            if not np.isfinite(values.to_numpy(float)).all():
                trial.fail("explains", f"explains by {own.method} with values that are not finite")


def _forecast_again(task: tuple[_Trial, Path, dict], is_second_fit: bool) -> np.ndarray:
    """Forecast in a fresh process, with the saved model or with a second fit."""
    trial, saved, facts = task
    with TemporaryDirectory(prefix="zl-check-") as folder:
        if is_second_fit:
            facts = fit_family(trial.family, *trial.parts(), Path(folder))
        model = fitted_model(trial.family, Path(folder) if is_second_fit else saved, facts)
        return np.asarray(model.predict_proba(trial.to_forecast()), float)


def _name(family: Family) -> str:
    return family.model if isinstance(family.model, str) else f"{family.model.__module__}.{family.model.__qualname__}"


# ---------- rows


@cache
def _mart_rows(reads_lookback: bool) -> pd.DataFrame:
    """Simulate rows of a mart whose feature `drive` has a small effect on the next session's return."""
    rng, n = np.random.default_rng(settings.SEED), SESSIONS + TEST_SESSIONS
    drive, late, walk = rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal(n).cumsum()
    returns = 0.01 * rng.standard_t(5, n)
    returns[1:] += 0.004 * drive[:-1]
    late[: n // 2] = np.nan
    drive[rng.random(n) < 0.05] = np.nan
    mart = pd.DataFrame({"as_of_date": _days(n), "drive": drive, "late": late, "walk": walk, "idle": 0.0})
    ewma_volatility = np.sqrt(pd.Series(returns**2).ewm(alpha=0.06).mean())
    zl = mart[["as_of_date"]].assign(log_return=returns, ewma_volatility=ewma_volatility)
    rows = _with_targets(mart, np.cumsum(returns), ewma_volatility.to_numpy())
    if reads_lookback:
        rows = rows.merge(lookback_columns(mart, zl, CHANNELS), on="as_of_date")
    warm = _days(n)[60]
    return rows[rows["as_of_date"] >= warm].reset_index(drop=True)


@cache
def _second_level_rows() -> pd.DataFrame:
    """Simulate rows whose features are forecasts of four families with errors of different sizes.

    The last family has no forecasts in the first rows.
    """
    rng, n = np.random.default_rng(settings.SEED), SESSIONS + TEST_SESSIONS
    rows = _with_targets(
        pd.DataFrame({"as_of_date": _days(n)}), np.cumsum(0.01 * rng.standard_normal(n)), np.full(n, 0.01)
    )
    signal = rows["z_return"].fillna(0).to_numpy()
    for error, name in enumerate(MEMBERS):
        median = 0.5 * signal + 0.5 * error * rng.standard_normal(len(rows))
        quantiles = median[:, None] + LEVELS
        if name == MEMBERS[-1]:
            quantiles[:50] = np.nan
        names = [column(name, quantile) for quantile in settings.QUANTILE_COLUMNS]
        rows[names] = quantiles
    return rows


def _days(n: int) -> pd.DatetimeIndex:
    return pd.bdate_range("2000-01-03", periods=n)


def _with_targets(mart: pd.DataFrame, log_price: np.ndarray, ewma_volatility: np.ndarray) -> pd.DataFrame:
    """Add targets, one row per session and horizon; z_return is NaN in the sessions to forecast."""
    n, days = len(mart), pd.bdate_range("2000-01-03", periods=len(mart) + max(HORIZONS))
    frames = []
    for horizon in HORIZONS:
        moved = np.full(n, np.nan)
        moved[:-horizon] = log_price[horizon:] - log_price[:-horizon]
        targets = {
            "horizon_days": horizon,
            "target_date": days[horizon : n + horizon],
            "z_return": moved / (ewma_volatility * np.sqrt(horizon)),
        }
        frames.append(mart.assign(**targets))
    first = ["as_of_date", "horizon_days", "target_date", "z_return"]  # horizon_days comes before the features
    rows = pd.concat(frames).sort_values(first[:2], ignore_index=True)
    rows = rows[first + [name for name in mart if name != "as_of_date"]]
    is_test = rows["as_of_date"] >= days[SESSIONS]
    is_train = rows["target_date"] < days[SESSIONS]
    rows.loc[is_test, "z_return"] = np.nan
    return rows[is_test | is_train].reset_index(drop=True)

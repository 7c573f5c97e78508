"""Checks of what every model family owes, for whoever writes one. The model is scikit-learn's `check_estimator`.

>>> from zl_forecast.families.check import check_family
>>> check_family("zl_forecast.families.reference")
"""

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
CHANNELS = ("drive", "late")  # features whose look-back is shown
MEMBERS = ("first", "second", "third", "fourth")  # whose forecasts a second level reads
LEVELS = np.array([-1.64, -1.28, -0.67, 0.0, 0.67, 1.28, 1.64])  # of a standard normal, at `settings.QUANTILE_LEVELS`
METHODS = (*SIGNED, "attention", "variable_selection", "parameters")
NOT_SHOWN = ["as_of_date", "target_date", "z"]


def check_family(family: Family | str) -> None:
    """Hold a family against what the tournament asks of every family; it returns if nothing is wrong.

    It is fitted as in the tournament on 640 sessions of three horizons with missing values, a constant feature and one that begins late;
    it forecasts 30 sessions more. Takes about as long as two fits, and the start of a process, in which the second one is made.

    Parameters
    ----------
    family : Family or str
        A family, or the name of the module that has it as its constant FAMILY, as column module of seeds/families.csv.

    Raises
    ------
    CheckError
        The first check that failed: `check` is its name, the message names the family and says what was found. The checks are

        fits : it can be fitted, validated and refitted
        keeps_rows : neither fitting nor forecasting changes the rows that it is given
        forecasts : finite, ascending quantiles of shape (n_rows, n_levels)
        missing_values : the same where a feature is missing that was there in training
        own_row : rows of one horizon, and a single row, are forecast as they are among all others
        explains : what it says of its forecasts has a known method and a value for each row
        loads : a fresh process forecasts the same with the saved model, from another folder
        repeats : a second fit, in a fresh process, forecasts the same
        random_state : NumPy's global random state is left as it was
    TournamentError
        The module cannot be found or imported, or has no FAMILY.
    """
    if isinstance(family, str):
        title = f"family '{family}'"
        own: Family = load_constant(title, family, "FAMILY", "Family(...)", lambda own: isinstance(own, Family))
    else:
        title, own = f"family '{_name(family)}'", family
    rows = second_level_rows() if own.is_second_level else mart_rows(own.reads_lookback)
    trial = Trial(title, own, rows)
    with TemporaryDirectory(prefix="zl-check-") as folder, one_thread(), trial.check_random_state():
        _check(trial, Path(folder) / "fitted")


@dataclass(frozen=True)
class Trial(Subject):
    """A family and the rows that it is tried on.

    Attributes
    ----------
    rows : DataFrame
        as_of_date, horizon_days, target_date, z (NaN in the rows to forecast) and the features.
    """

    family: Family
    rows: pd.DataFrame

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        """What the family is fitted and validated on, with z."""
        train = without_drift(self.rows[self.rows["z"].notna()])
        fit_rows, tuning_rows = (part.drop(columns=["as_of_date", "target_date"]) for part in inner_split(train))
        return fit_rows, tuning_rows

    def to_forecast(self) -> pd.DataFrame:
        """What the family sees of the rows to forecast."""
        return self.rows[self.rows["z"].isna()].drop(columns=NOT_SHOWN).reset_index(drop=True)


def _check(trial: Trial, folder: Path) -> None:
    fit_rows, tuning_rows = trial.parts()
    given = fit_rows.copy(), tuning_rows.copy()
    folder.mkdir()
    with trial.failing("fits", "cannot be fitted"):
        facts = fit_family(trial.family, fit_rows, tuning_rows, folder)
        model = fitted_model(trial.family, folder, facts)
    _check_unchanged(trial, given, (fit_rows, tuning_rows), "fitting")

    X = trial.to_forecast()
    given_X = X.copy()
    quantiles = _forecast(trial, model, X, "forecasts")
    _check_unchanged(trial, (given_X,), (X,), "forecasting")
    _check_missing_values(trial, model, X)
    _check_own_row(trial, model, X, quantiles)
    _check_explanations(trial, model, X)
    moved = folder.rename(folder.with_name("moved"))
    trial.check_fresh_process(forecast_again, (trial, moved, facts), quantiles)


def _forecast(trial: Trial, model: AbstractModel, X: pd.DataFrame, check: str, where: str = "") -> np.ndarray:
    """Quantiles of the rows, if they are what a family owes."""
    with trial.failing(check, f"cannot forecast{where}"):
        quantiles = np.asarray(model.predict_proba(X), float)
    return trial.check_quantiles(check, quantiles, len(X), where)


def _check_unchanged(trial: Trial, before: tuple, after: tuple, what: str) -> None:
    if not all(own.equals(other) for own, other in zip(before, after, strict=True)):
        trial.fail("keeps_rows", f"changes the rows that it is given for {what}. Copy them first.")


def _check_missing_values(trial: Trial, model: AbstractModel, X: pd.DataFrame) -> None:
    """Each feature is missing in one row, as where a source is late; of a second level, all forecasts of one family."""
    gaps = X.copy()
    if trial.family.is_second_level:
        gaps.loc[1, [name for name in X if name.startswith(MEMBERS[0])]] = np.nan
    else:
        for row, name in enumerate(FEATURES):
            gaps.loc[row, name] = np.nan
    _forecast(trial, model, gaps, "missing_values", " where a feature is missing")


def _check_own_row(trial: Trial, model: AbstractModel, X: pd.DataFrame, quantiles: np.ndarray) -> None:
    one_horizon = np.flatnonzero(X["horizon_days"] == HORIZONS[1])
    for positions, what in ((one_horizon, "rows of one horizon"), (one_horizon[:1], "a single row")):
        own = _forecast(trial, model, X.iloc[positions].reset_index(drop=True), "own_row", f" in {what}")
        trial.check_same(
            "own_row", own, quantiles[positions], f"forecasts {what} otherwise than among all rows", ROUNDING
        )


def _check_explanations(trial: Trial, model: AbstractModel, X: pd.DataFrame) -> None:
    if trial.family.explain is None:
        return
    with trial.failing("explains", "cannot explain its forecasts"):
        explanations = trial.family.explain(model, X)
    for own in explanations:
        if not isinstance(own, Explanation) or own.method not in METHODS:
            trial.fail("explains", f"explains by {own!r:.80}. Use an Explanation with one of {', '.join(METHODS)}.")
        for values in (own.median, own.width):
            if values is None:
                continue
            if not values.index.equals(X.index):
                trial.fail("explains", f"explains by {own.method} with another index than that of the rows")
            if not np.isfinite(values.to_numpy(float)).all():
                trial.fail("explains", f"explains by {own.method} with values that are not finite")


def forecast_again(task: tuple[Trial, Path, dict], is_second_fit: bool) -> np.ndarray:
    """In a fresh process: forecasts by the saved model, or by a second fit."""
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
def mart_rows(reads_lookback: bool) -> pd.DataFrame:
    """Rows of a mart in which `drive` moves the next session's return a little."""
    rng, n = np.random.default_rng(settings.SEED), SESSIONS + TEST_SESSIONS
    drive, late, walk = rng.standard_normal(n), rng.standard_normal(n), rng.standard_normal(n).cumsum()
    returns = 0.01 * rng.standard_t(5, n)
    returns[1:] += 0.004 * drive[:-1]
    late[: n // 2] = np.nan
    drive[rng.random(n) < 0.05] = np.nan
    mart = pd.DataFrame({"as_of_date": _days(n), "drive": drive, "late": late, "walk": walk, "idle": 0.0})
    sigma = np.sqrt(pd.Series(returns**2).ewm(alpha=0.06).mean())
    zl = mart[["as_of_date"]].assign(log_return=returns, sigma=sigma)
    rows = _with_targets(mart, np.cumsum(returns), sigma.to_numpy())
    if reads_lookback:
        rows = rows.merge(lookback_columns(mart, zl, CHANNELS), on="as_of_date")
    warm = _days(n)[60]
    return rows[rows["as_of_date"] >= warm].reset_index(drop=True)


@cache
def second_level_rows() -> pd.DataFrame:
    """Rows whose features are forecasts of four families, each with an error of another size; one failed in the first rows."""
    rng, n = np.random.default_rng(settings.SEED), SESSIONS + TEST_SESSIONS
    rows = _with_targets(
        pd.DataFrame({"as_of_date": _days(n)}), np.cumsum(0.01 * rng.standard_normal(n)), np.full(n, 0.01)
    )
    signal = rows["z"].fillna(0).to_numpy()
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


def _with_targets(mart: pd.DataFrame, log_price: np.ndarray, sigma: np.ndarray) -> pd.DataFrame:
    """A row per session and horizon; z is known where the target lies before the sessions to forecast, and NaN in those."""
    n, days = len(mart), pd.bdate_range("2000-01-03", periods=len(mart) + max(HORIZONS))
    frames = []
    for horizon in HORIZONS:
        moved = np.full(n, np.nan)
        moved[:-horizon] = log_price[horizon:] - log_price[:-horizon]
        targets = {
            "horizon_days": horizon,
            "target_date": days[horizon : n + horizon],
            "z": moved / (sigma * np.sqrt(horizon)),
        }
        frames.append(mart.assign(**targets))
    first = ["as_of_date", "horizon_days", "target_date", "z"]  # a family sees horizon_days first, then the features
    rows = pd.concat(frames).sort_values(first[:2], ignore_index=True)
    rows = rows[first + [name for name in mart if name != "as_of_date"]]
    is_test = rows["as_of_date"] >= days[SESSIONS]
    is_train = rows["target_date"] < days[SESSIONS]
    rows.loc[is_test, "z"] = np.nan
    return rows[is_test | is_train].reset_index(drop=True)

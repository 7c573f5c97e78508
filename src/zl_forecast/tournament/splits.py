"""Expanding walk-forward folds, purged of every training row whose target could reach into the test fold."""

from dataclasses import dataclass

import pandas as pd

from zl_forecast import settings
from zl_forecast.errors import TournamentError


@dataclass(frozen=True)
class Fold:
    """A test window of the walk-forward scheme, and the limit of its training rows.

    Attributes
    ----------
    start, end : Timestamp
        Test rows have start <= as_of_date < end.
    fold_type : str
        'oof' for a calendar year of the history, 'live' for the newest rows, since the last reselection.
    train_until : Timestamp
        The target_date of a training row is before this date, which is the embargo before `start`.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    fold_type: str
    train_until: pd.Timestamp

    def train_rows(self, rows: pd.DataFrame) -> pd.Series:
        """Mark the training rows: matured, with target_date before the embargo.

        Parameters
        ----------
        rows : DataFrame of n_rows rows
            target_date, is_matured.

        Returns
        -------
        Series of bool, shape (n_rows,)
        """
        return rows["is_matured"] & (rows["target_date"] < self.train_until)

    def test_rows(self, rows: pd.DataFrame) -> pd.Series:
        """Mark the test rows, matured or not.

        Parameters
        ----------
        rows : DataFrame of n_rows rows
            as_of_date.

        Returns
        -------
        Series of bool, shape (n_rows,)
        """
        return (rows["as_of_date"] >= self.start) & (rows["as_of_date"] < self.end)


def walk_forward(sessions: pd.DatetimeIndex, live_from: pd.Timestamp | None = None) -> list[Fold]:
    """Build the folds of one tournament: calendar years of the history, then the live fold.

    Models of the live fold are trained when it starts, and only forecast from then on. When the next live fold
    starts, the elapsed rows join the year's out-of-fold fold, whose models were trained in January. A refit
    therefore never changes past forecasts, and without a reselection a new session changes only the live fold.

    Parameters
    ----------
    sessions : DatetimeIndex of shape (n_sessions,)
        As-of dates with features, ascending.
    live_from : Timestamp, optional
        Start of the live fold, from monitoring.run_plan; default: the first day of the newest session's month.

    Returns
    -------
    list of Fold
        Oldest first, the live fold last.

    Raises
    ------
    TournamentError
        If there are fewer sessions than the first training window and one test year need.

    Examples
    --------
    >>> folds = walk_forward(pd.bdate_range("2020-01-02", "2023-05-12"))
    >>> [f"{fold.fold_type} {fold.start:%Y-%m-%d} to {fold.end:%Y-%m-%d}" for fold in folds]
    ['oof 2022-01-01 to 2023-01-01', 'oof 2023-01-01 to 2023-05-01', 'live 2023-05-01 to 2023-05-13']
    """
    needed = settings.FIRST_TRAIN_SESSIONS + 252
    if len(sessions) < needed:
        raise TournamentError(
            f"walk_forward needs at least {needed} sessions with features; it was given {len(sessions)} "
            f"({sessions.min():%Y-%m-%d} to {sessions.max():%Y-%m-%d}). Provide a longer history of ZL."
        )
    live = sessions[-1].to_period("M").start_time if live_from is None else live_from
    januaries = [pd.Timestamp(year, 1, 1) for year in range(sessions[0].year + 1, sessions[-1].year + 1)]
    starts = [start for start in januaries if (sessions < start).sum() >= settings.FIRST_TRAIN_SESSIONS]
    ends = [min(start + pd.DateOffset(years=1), live) for start in starts]
    history = [
        Fold(start, end, "oof", _embargo(sessions, start))
        for start, end in zip(starts, ends, strict=True)
        if ((sessions >= start) & (sessions < end)).any()
    ]
    return [*history, Fold(live, sessions[-1] + pd.DateOffset(days=1), "live", _embargo(sessions, live))]


def inner_split(train: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split training rows into a fit part and the newest part for validation, purged between the two.

    Parameters
    ----------
    train : DataFrame
        as_of_date, target_date and any other columns.

    Returns
    -------
    tuple of two DataFrames
        Fit part, whose targets mature before the tuning part begins, and tuning part, the newest
        `settings.TUNING_SHARE` of the sessions.
    """
    dates = train["as_of_date"].drop_duplicates().sort_values()
    cut = dates.iloc[int(len(dates) * (1 - settings.TUNING_SHARE))]
    return train[train["target_date"] < cut], train[train["as_of_date"] >= cut]


def without_drift(train: pd.DataFrame) -> pd.DataFrame:
    """Subtract each horizon's median from z_return, so that no family is credited for a drift of the price.

    Parameters
    ----------
    train : DataFrame
        horizon_days and z_return (standardised return).

    Returns
    -------
    DataFrame
        With z_return centred.

    Examples
    --------
    >>> rows = pd.DataFrame({"horizon_days": [5, 5, 5, 20], "z_return": [0.0, 1.0, 3.0, 2.0]})
    >>> without_drift(rows)["z_return"].tolist()
    [-1.0, 0.0, 2.0, 0.0]
    """
    return train.assign(z_return=train["z_return"] - train.groupby("horizon_days")["z_return"].transform("median"))


def _embargo(sessions: pd.DatetimeIndex, start: pd.Timestamp) -> pd.Timestamp:
    before = sessions[sessions < start]
    return before[-settings.EMBARGO_SESSIONS] if len(before) >= settings.EMBARGO_SESSIONS else start

"""Expanding walk-forward splits, purged of every training row whose target could reach into the test block."""

from dataclasses import dataclass

import pandas as pd

from zl_forecast import settings
from zl_forecast.errors import TournamentError


@dataclass(frozen=True)
class Fold:
    """One test block and what may be trained on for it.

    Attributes
    ----------
    start, end : Timestamp
        The block is start <= as_of_date < end.
    kind : str
        'oof' for a calendar-year block of the history, 'live' for the newest rows, from the last re-tournament on.
    train_until : Timestamp
        A training row's target_date lies before this date: the embargo before `start`.
    """

    start: pd.Timestamp
    end: pd.Timestamp
    kind: str
    train_until: pd.Timestamp

    def train_rows(self, rows: pd.DataFrame) -> pd.Series:
        """Mask of the rows that may be trained on: matured, and known well before the block."""
        return rows["is_matured"] & (rows["target_date"] < self.train_until)

    def test_rows(self, rows: pd.DataFrame) -> pd.Series:
        """Mask of the block's rows, matured or not."""
        return (rows["as_of_date"] >= self.start) & (rows["as_of_date"] < self.end)


def walk_forward(sessions: pd.DatetimeIndex, live_from: pd.Timestamp | None = None) -> list[Fold]:
    """The folds of one tournament: the history by calendar years, up to where the live block starts.

    The live block's models are trained when it starts and only score from then on. When the next one starts, what has passed since is
    added to the year's own block, which was trained in January: so the history is never rewritten by a refit, and a day without
    a re-tournament changes the live block alone.

    Parameters
    ----------
    sessions : DatetimeIndex of shape (n_sessions,)
        As-of dates with features, ascending.
    live_from : Timestamp, optional
        Start of the live block, as the plan says (monitoring.run_plan); default: the newest session's month.

    Raises
    ------
    TournamentError
        There are fewer sessions than the first training part and one test year need.
    """
    needed = settings.FIRST_TRAIN_SESSIONS + 252
    if len(sessions) < needed:
        raise TournamentError(
            f"walk_forward needs at least {needed} sessions with features, it was given {len(sessions)} "
            f"({sessions.min():%Y-%m-%d} to {sessions.max():%Y-%m-%d}). Land a longer history of ZL."
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
    """Split training rows into a fit part and the newest part to validate on, purged between the two."""
    dates = train["as_of_date"].drop_duplicates().sort_values()
    cut = dates.iloc[int(len(dates) * (1 - settings.TUNING_SHARE))]
    return train[train["target_date"] < cut], train[train["as_of_date"] >= cut]


def without_drift(train: pd.DataFrame) -> pd.DataFrame:
    """Training rows with each horizon's median taken out of z: a family must earn every move away from the last price."""
    return train.assign(z=train["z"] - train.groupby("horizon_days")["z"].transform("median"))


def _embargo(sessions: pd.DatetimeIndex, start: pd.Timestamp) -> pd.Timestamp:
    before = sessions[sessions < start]
    return before[-settings.EMBARGO_SESSIONS] if len(before) >= settings.EMBARGO_SESSIONS else start

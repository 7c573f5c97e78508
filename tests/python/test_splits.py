"""The walk-forward splits: training rows do not overlap with their test fold."""

import numpy as np
import pandas as pd
import pytest

from zl_forecast import settings
from zl_forecast.errors import TournamentError
from zl_forecast.tournament.splits import inner_split, walk_forward

HORIZONS = (5, 20, 60, 120)


def _rows(sessions: pd.DatetimeIndex) -> pd.DataFrame:
    """Build one row per session and horizon, as in int_targets__daily."""
    frames = []
    for horizon in HORIZONS:
        target = pd.DatetimeIndex([*sessions[horizon:], *pd.bdate_range(sessions[-1], periods=horizon + 1)[1:]])
        frames.append(
            pd.DataFrame(
                {
                    "as_of_date": sessions,
                    "horizon_days": horizon,
                    "target_date": target[: len(sessions)],
                    "is_matured": np.arange(len(sessions)) < len(sessions) - horizon,
                }
            )
        )
    return pd.concat(frames).sort_values(["as_of_date", "horizon_days"], ignore_index=True)


def _with_holidays(first: str, last: str, seed: int) -> pd.DatetimeIndex:
    """Business days with one in twelve missing at random, including runs of holidays."""
    days = pd.bdate_range(first, last)
    return days[np.random.default_rng(seed).random(len(days)) > 1 / 12]


CALENDARS = {
    "plain": pd.bdate_range("2015-01-01", "2019-08-30"),
    "ends_on_new_years_first_session": pd.bdate_range("2015-03-02", "2019-01-01"),
    "ends_in_january": pd.bdate_range("2015-03-02", "2019-01-18"),
    "ends_on_the_last_of_a_month": pd.bdate_range("2014-06-02", "2018-11-30"),
    "one_year_of_test": pd.bdate_range("2015-01-01", "2018-03-15"),
    **{f"holidays_{seed}": _with_holidays("2014-02-03", f"2018-0{seed + 1}-14", seed) for seed in range(1, 8)},
}


@pytest.fixture(params=CALENDARS)
def sessions(request):
    return CALENDARS[request.param]


def test_no_training_target_reaches_the_fold_or_the_embargo_before_it(sessions):
    rows = _rows(sessions)
    for fold in walk_forward(sessions):
        latest = rows.loc[fold.train_rows(rows), "target_date"].max()
        between = sessions[(sessions > latest) & (sessions < fold.start)]
        assert len(between) >= settings.EMBARGO_SESSIONS, fold


def test_the_purge_removes_no_more_rows_than_necessary(sessions):
    rows = _rows(sessions)
    for fold in walk_forward(sessions):
        latest = rows.loc[fold.train_rows(rows), "target_date"].max()
        assert ((sessions > latest) & (sessions < fold.start)).sum() == settings.EMBARGO_SESSIONS


def test_rows_that_have_not_matured_are_never_trained_on(sessions):
    rows = _rows(sessions)
    rows.loc[:, "is_matured"] = False
    assert not any(fold.train_rows(rows).any() for fold in walk_forward(sessions))


def test_every_session_from_the_first_fold_on_is_tested_exactly_once_in_the_history(sessions):
    rows = _rows(sessions)
    folds = walk_forward(sessions)
    times_tested = sum(fold.test_rows(rows).astype(int) for fold in folds)
    assert (times_tested[rows["as_of_date"] >= folds[0].start] == 1).all()
    assert (times_tested[rows["as_of_date"] < folds[0].start] == 0).all()


def test_the_first_fold_follows_the_full_first_training_window(sessions):
    assert (sessions < walk_forward(sessions)[0].start).sum() >= settings.FIRST_TRAIN_SESSIONS


def test_the_live_fold_is_the_newest_month(sessions):
    *history, live = walk_forward(sessions)
    assert [fold.fold_type for fold in history] == ["oof"] * len(history)
    assert live.fold_type == "live"
    newest_month = _rows(sessions)["as_of_date"].dt.to_period("M") == sessions[-1].to_period("M")
    pd.testing.assert_series_equal(live.test_rows(_rows(sessions)), newest_month, check_names=False)


def test_past_folds_do_not_change_when_sessions_arrive():
    days = pd.bdate_range("2015-01-01", "2019-12-31")
    before = [fold for fold in walk_forward(days[: -len(days) // 5]) if fold.fold_type == "oof"]
    after = [fold for fold in walk_forward(days) if fold.fold_type == "oof"]
    assert [(f.start, f.train_until) for f in after[: len(before)]] == [(f.start, f.train_until) for f in before]
    assert len(after) > len(before)
    assert all(
        new.end >= old.end for new, old in zip(after, before, strict=False)
    )  # only the current year's fold has grown


def test_the_live_fold_starts_at_the_planned_date_and_the_history_ends_there(sessions):
    start = sessions[-30]
    *history, live = walk_forward(sessions, live_from=start)
    assert live.start == start == history[-1].end
    assert live.train_until == sessions[sessions < start][-settings.EMBARGO_SESSIONS]
    years_ago = walk_forward(sessions, live_from=pd.Timestamp(sessions[-1].year - 1, 1, 1))  # var tournament: never
    assert [fold.fold_type for fold in years_ago].count("live") == 1
    assert all(fold.end <= years_ago[-1].start for fold in years_ago[:-1])


def test_training_rows_of_past_folds_do_not_change_when_sessions_arrive():
    days = pd.bdate_range("2015-01-01", "2019-06-28")
    some, all_ = _rows(days[:-100]), _rows(days)
    for fold in walk_forward(days[:-100]):
        pd.testing.assert_frame_equal(
            some[fold.train_rows(some)].reset_index(drop=True),
            all_[fold.train_rows(all_)].reset_index(drop=True),
        )


def test_the_inner_split_is_purged_and_validates_on_the_newest_part(sessions):
    rows = _rows(sessions)
    for fold in walk_forward(sessions):
        train = rows[fold.train_rows(rows)]
        fit_part, tuning_part = inner_split(train)
        assert fit_part["target_date"].max() < tuning_part["as_of_date"].min()
        share = tuning_part["as_of_date"].nunique() / train["as_of_date"].nunique()
        assert share == pytest.approx(settings.TUNING_SHARE, abs=0.01)
        assert tuning_part["as_of_date"].max() == train["as_of_date"].max()


def test_a_too_short_history_is_refused_with_count_and_dates():
    days = pd.bdate_range("2020-01-01", periods=300)
    with pytest.raises(TournamentError, match=r"at least 756 sessions .* given 300 \(2020-01-01 to 2021-02-23\)"):
        walk_forward(days)

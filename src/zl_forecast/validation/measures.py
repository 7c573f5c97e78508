"""Measures that Great Expectations does not have: calendar, freshness, missing and frozen features, drift.

Each measure is one number. It becomes a constant column gate_<name> of the checked table, so that its
threshold is in the suite with the others. Windows are set here, thresholds in the suites.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from zl_forecast.errors import listed

RECENT_SESSIONS = 21  # newest sessions whose mean is compared: one month
TRAILING_SESSIONS = 504  # sessions before them: two years
FROZEN_SESSIONS = 10  # newest sessions whose values must not all be equal
MIN_MOVING_SHARE = 0.5  # a feature that changes on fewer trailing sessions is not daily, such as a monthly report
EVENT_COUNT_PREFIXES = ("policy_", "fomc_", "rfs_")  # counts of calendar events, which may stay unchanged
SESSIONS_PER_YEAR = 252
MAX_NAMES = 4  # names or dates in details


@dataclass(frozen=True)
class Measure:
    """A number to be compared with a threshold.

    Attributes
    ----------
    value : float
        The number.
    details : str
        Explanation for the results table.
    """

    value: float
    details: str


def calendar(frame: pd.DataFrame, sessions: pd.Series) -> dict[str, Measure]:
    """Compare the dates of a table with the sessions so far.

    Parameters
    ----------
    frame : DataFrame
        One row per session, with as_of_date, sorted.
    sessions : Series of datetime64
        Every session so far, ascending.

    Returns
    -------
    dict of str to Measure
        sessions_behind (sessions after the newest row), missing_sessions and unknown_dates (dates without
        a row, and rows without a session, since the first row), row_surplus (rows more than sessions) and
        warm_up_sessions (sessions before the first row).
    """
    dates = frame["as_of_date"].dropna()
    distinct = dates.drop_duplicates()
    expected = sessions[sessions >= dates.min()] if len(dates) else sessions
    missing = expected[~expected.isin(distinct)]
    unknown = distinct[~distinct.isin(sessions)]
    behind = int((sessions > dates.max()).sum()) if len(dates) else len(sessions)
    newest = sessions.max()
    return {
        "sessions_behind": Measure(behind, f"newest row {_day(dates.max())}, newest session {_day(newest)}"),
        "missing_sessions": Measure(len(missing), _days(missing)),
        "unknown_dates": Measure(len(unknown), _days(unknown)),
        "row_surplus": Measure(len(dates) - len(expected), f"{len(dates)} rows for {len(expected)} sessions"),
        "warm_up_sessions": Measure(len(sessions) - len(expected), f"first row {_day(dates.min())}"),
    }


def features(frame: pd.DataFrame, own: list[str]) -> dict[str, Measure]:
    """Measure missing, frozen and drifting features of a bucket.

    Parameters
    ----------
    frame : DataFrame
        One row per session, sorted by as_of_date.
    own : list of str
        The bucket's own features; the base block is checked with ZL.

    Returns
    -------
    dict of str to Measure
        not_numbers and frozen_features (numbers of features); newest_null_share, null_share and
        largest_null_share (fractions: of features in the newest row, of all cells in the last `TRAILING_SESSIONS`
        sessions, and of the worst feature there); largest_drift (mean of the last `RECENT_SESSIONS` sessions less
        that of the `TRAILING_SESSIONS` before, in standard deviations of the latter).
    """
    not_numbers = [name for name in own if not pd.api.types.is_numeric_dtype(frame[name])]
    values = frame[[name for name in own if name not in not_numbers]].replace([np.inf, -np.inf], np.nan)
    window = values.tail(TRAILING_SESSIONS)
    newest = values.iloc[-1] if len(values) else pd.Series(np.nan, index=values.columns)
    absent = list(newest.index[newest.isna()])
    null_shares = window.isna().mean().fillna(1.0)
    sparse = null_shares[null_shares > 0].sort_values(ascending=False, kind="stable")
    measured = values[[name for name in values if not name.startswith(EVENT_COUNT_PREFIXES)]]
    shifts, frozen = _shifts(measured), _frozen(measured)
    return {
        "not_numbers": Measure(len(not_numbers), _names(not_numbers)),
        "newest_null_share": Measure(_share(len(absent), len(values.columns)), _names(absent)),
        "null_share": Measure(
            float(null_shares.mean()) if len(null_shares) else 1.0,
            f"of all cells in the last {TRAILING_SESSIONS} sessions",
        ),
        "largest_null_share": Measure(
            float(null_shares.max()) if len(null_shares) else 1.0,
            _names([f"{name} {share:.2f}" for name, share in sparse.items()]),
        ),
        "frozen_features": Measure(len(frozen), _names(frozen)),
        "largest_drift": Measure(
            float(shifts.max()) if len(shifts) else 0.0,
            _names([f"{name} {shift:.1f} sd" for name, shift in shifts.head(MAX_NAMES).items()]),
        ),
    }


def inputs(quarantines: pd.DataFrame) -> dict[str, Measure]:
    """Count the bucket's symbols that the landing check has quarantined.

    Parameters
    ----------
    quarantines : DataFrame
        The bucket's rows of int_landing__quarantines: symbol, problem.

    Returns
    -------
    dict of str to Measure
        quarantined_symbols.
    """
    problems = [f"{row.symbol} {row.problem}" for row in quarantines.sort_values(["symbol", "problem"]).itertuples()]
    return {"quarantined_symbols": Measure(quarantines["symbol"].nunique(), _names(problems))}


def zl_prices(prices: pd.DataFrame, exchange: pd.Series, today: date, max_age_days: int | None) -> dict[str, Measure]:
    """Measure gaps, missing sessions, age and unchanged closes of ZL itself.

    Parameters
    ----------
    prices : DataFrame
        ZL's as_of_date and close, sorted.
    exchange : Series of datetime64
        Sessions of the exchange calendar, past and future.
    today : date
        Date at which the age is measured; nothing else depends on it.
    max_age_days : int or None
        Maximum age of the newest bar in calendar days; None switches the check off.

    Returns
    -------
    dict of str to Measure
        longest_gap_days (calendar days), absent_share and absent_share_252 (fraction of sessions without
        a bar, since the first bar and of the last 252), not_trading_days (bars without a session), unchanged_closes
        (newest closes equal to the one before) and days_overdue (days beyond `max_age_days`).
    """
    dates = prices["as_of_date"].dropna()
    steps = dates.diff().dt.days
    gap = steps.max() if len(dates) > 1 else 0
    due = exchange[(exchange >= dates.min()) & (exchange <= dates.max())]
    recent = due.tail(SESSIONS_PER_YEAR)
    absent, recently_absent = due[~due.isin(dates)], recent[~recent.isin(dates)]
    strange = dates[~dates.isin(exchange)]
    age = (pd.Timestamp(today) - dates.max()).days if len(dates) else 0
    overdue = 0 if max_age_days is None else max(0, age - max_age_days)
    standstill = _unchanged_closes(prices["close"])
    return {
        "longest_gap_days": Measure(
            float(gap), f"up to {_day(dates[steps.idxmax()])}" if len(dates) > 1 else "fewer than two bars"
        ),
        "absent_share": Measure(_share(len(absent), len(due)), _days(absent)),
        "absent_share_252": Measure(_share(len(recently_absent), len(recent)), _days(recently_absent)),
        "not_trading_days": Measure(len(strange), _days(strange)),
        "unchanged_closes": Measure(standstill, f"newest sessions with an unchanged close: {standstill}"),
        "days_overdue": Measure(
            overdue,
            "max_zl_age_days is null: not checked"
            if max_age_days is None
            else f"newest bar {_day(dates.max())}, allowed age {max_age_days} days",
        ),
    }


def zl_targets(targets: pd.DataFrame, sessions: pd.Series) -> dict[str, Measure]:
    """Compare the targets with the calendar, and count matured rows without an outcome.

    Parameters
    ----------
    targets : DataFrame
        int_targets__daily: as_of_date, horizon_days, is_matured, z_return; one row per session and horizon.
    sessions : Series of datetime64
        Every session so far, ascending.

    Returns
    -------
    dict of str to Measure
        As from `calendar`, with row_surplus per session and horizon, and matured_without_z.
    """
    horizons = targets["horizon_days"].nunique()
    measures = calendar(targets.drop_duplicates("as_of_date"), sessions)
    expected = int((sessions >= targets["as_of_date"].min()).sum()) * horizons if len(targets) else 0
    blank = targets.loc[targets["is_matured"].astype(bool) & targets["z_return"].isna(), "as_of_date"]
    measures["row_surplus"] = Measure(len(targets) - expected, f"{len(targets)} rows, expected {horizons} per session")
    measures["matured_without_z"] = Measure(len(blank), _days(blank))
    return measures


def _shifts(values: pd.DataFrame) -> pd.Series:
    """Return the drift per daily feature, largest first.

    It is the absolute recent mean less the trailing mean, in trailing standard deviations.
    """
    recent, past = values.tail(RECENT_SESSIONS), values.iloc[:-RECENT_SESSIONS].tail(TRAILING_SESSIONS)
    daily = [name for name in values if _is_daily(past[name]) and recent[name].notna().sum() >= RECENT_SESSIONS // 2]
    if not daily:
        return pd.Series(dtype=float)
    shifts = (recent[daily].mean() - past[daily].mean()).abs() / past[daily].std()
    return shifts.sort_values(ascending=False, kind="stable")


def _frozen(values: pd.DataFrame) -> list[str]:
    """List daily features whose newest values are all equal."""
    past, recent = values.iloc[:-FROZEN_SESSIONS].tail(TRAILING_SESSIONS), values.tail(FROZEN_SESSIONS)
    return [
        name for name in values if _is_daily(past[name]) and recent[name].nunique() == 1 and recent[name].notna().all()
    ]


def _is_daily(column: pd.Series) -> bool:
    present = column.dropna()
    return len(present) >= TRAILING_SESSIONS // 4 and bool((present.diff().iloc[1:] != 0).mean() >= MIN_MOVING_SHARE)


def _unchanged_closes(close: pd.Series) -> int:
    """Count the newest closes that equal the one before."""
    changed = close.diff().ne(0).to_numpy()[::-1]
    return int(changed.argmax()) if changed.any() else 0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _day(value) -> str:
    return "none" if pd.isna(value) else f"{value:%Y-%m-%d}"


def _days(dates: pd.Series) -> str:
    return _names([_day(value) for value in dates.drop_duplicates().sort_values(ascending=False)])


def _names(names: list[str]) -> str:
    return listed(names, MAX_NAMES) or "none"

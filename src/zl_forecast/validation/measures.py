"""What no stock expectation knows, one number each: calendar, freshness, missing and frozen features, drift.

Each measure becomes a constant column gate_<name> of the checked frame: its threshold stands in the suite
beside the others. Windows are set here, thresholds are not.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

RECENT = 21  # sessions whose mean is compared: a month
TRAILING = 504  # sessions before them: two years
FROZEN = 10  # newest sessions that must not all be alike
MOVES = 0.5  # share of trailing sessions on which a daily feature changes; monthly reports are not compared
COUNTED = ("policy_", "fomc_", "rfs_")  # counted from a calendar of events: these may rest
YEAR = 252
NAMED = 4  # how many offenders a detail names


@dataclass(frozen=True)
class Measure:
    """A number to be held against a threshold, and what it is made of."""

    value: float
    details: str


def calendar(frame: pd.DataFrame, sessions: pd.Series) -> dict[str, Measure]:
    """How the dates of a table with one row per session agree with the sessions so far.

    Parameters
    ----------
    frame : DataFrame
        With as_of_date, sorted.
    sessions : Series of datetime64
        Every session so far, ascending.
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
    """Missing, frozen and drifting features of a bucket.

    Parameters
    ----------
    frame : DataFrame
        Sorted by as_of_date.
    own : list of str
        The bucket's own features; the base block is ZL's and is checked with ZL.
    """
    not_numbers = [name for name in own if not pd.api.types.is_numeric_dtype(frame[name])]
    values = frame[[name for name in own if name not in not_numbers]].replace([np.inf, -np.inf], np.nan)
    window = values.tail(TRAILING)
    newest = values.iloc[-1] if len(values) else pd.Series(np.nan, index=values.columns)
    absent = list(newest.index[newest.isna()])
    null_shares = window.isna().mean().fillna(1.0)
    sparse = null_shares[null_shares > 0].sort_values(ascending=False, kind="stable")
    measured = values[[name for name in values if not name.startswith(COUNTED)]]
    shifts, frozen = _shifts(measured), _frozen(measured)
    return {
        "not_numbers": Measure(len(not_numbers), _names(not_numbers)),
        "newest_null_share": Measure(_share(len(absent), len(values.columns)), _names(absent)),
        "null_share": Measure(
            float(null_shares.mean()) if len(null_shares) else 1.0,
            f"of all cells in the last {TRAILING} sessions",
        ),
        "largest_null_share": Measure(
            float(null_shares.max()) if len(null_shares) else 1.0,
            _names([f"{name} {share:.2f}" for name, share in sparse.items()]),
        ),
        "frozen_features": Measure(len(frozen), _names(frozen)),
        "largest_drift": Measure(
            float(shifts.max()) if len(shifts) else 0.0,
            _names([f"{name} {shift:.1f} sd" for name, shift in shifts.head(NAMED).items()]),
        ),
    }


def inputs(quarantines: pd.DataFrame) -> dict[str, Measure]:
    """How many of a bucket's symbols the landing check has quarantined.

    Parameters
    ----------
    quarantines : DataFrame
        symbol, problem: the bucket's rows of int_landing__quarantines.
    """
    problems = [f"{row.symbol} {row.problem}" for row in quarantines.sort_values(["symbol", "problem"]).itertuples()]
    return {"quarantined_symbols": Measure(quarantines["symbol"].nunique(), _names(problems))}


def zl_prices(prices: pd.DataFrame, exchange: pd.Series, today: date, max_age_days: int | None) -> dict[str, Measure]:
    """Gaps, absences, age and standstill of ZL itself.

    Parameters
    ----------
    prices : DataFrame
        as_of_date and close, sorted.
    exchange : Series of datetime64
        Sessions by the exchange calendar, past and to come.
    today : date
        Only the age depends on it.
    max_age_days : int or None
        How old the newest bar may be; None switches the check off.
    """
    dates = prices["as_of_date"].dropna()
    steps = dates.diff().dt.days
    gap = steps.max() if len(dates) > 1 else 0
    due = exchange[(exchange >= dates.min()) & (exchange <= dates.max())]
    recent = due.tail(YEAR)
    absent, recently_absent = due[~due.isin(dates)], recent[~recent.isin(dates)]
    strange = dates[~dates.isin(exchange)]
    age = (pd.Timestamp(today) - dates.max()).days if len(dates) else 0
    overdue = 0 if max_age_days is None else max(0, age - max_age_days)
    standstill = _standstill(prices["close"])
    return {
        "longest_gap_days": Measure(
            float(gap), f"up to {_day(dates[steps.idxmax()])}" if len(dates) > 1 else "fewer than two bars"
        ),
        "absent_share": Measure(_share(len(absent), len(due)), _days(absent)),
        "absent_share_252": Measure(_share(len(recently_absent), len(recent)), _days(recently_absent)),
        "not_trading_days": Measure(len(strange), _days(strange)),
        "unchanged_closes": Measure(standstill, f"newest sessions without a change of price: {standstill}"),
        "days_overdue": Measure(
            overdue,
            "max_zl_age_days is null: not checked"
            if max_age_days is None
            else f"newest bar {_day(dates.max())}, allowed age {max_age_days} days",
        ),
    }


def zl_targets(targets: pd.DataFrame, sessions: pd.Series) -> dict[str, Measure]:
    """The calendar of the targets, one row per session and horizon, and matured rows without an outcome."""
    horizons = targets["horizon_days"].nunique()
    measures = calendar(targets.drop_duplicates("as_of_date"), sessions)
    expected = int((sessions >= targets["as_of_date"].min()).sum()) * horizons if len(targets) else 0
    blank = targets.loc[targets["is_matured"].astype(bool) & targets["z"].isna(), "as_of_date"]
    measures["row_surplus"] = Measure(
        len(targets) - expected, f"{len(targets)} rows, {horizons} horizons a session expected"
    )
    measures["matured_without_z"] = Measure(len(blank), _days(blank))
    return measures


def _shifts(values: pd.DataFrame) -> pd.Series:
    """Per daily feature: recent mean less trailing mean, in trailing standard deviations; largest first."""
    recent, past = values.tail(RECENT), values.iloc[:-RECENT].tail(TRAILING)
    daily = [name for name in values if _moves(past[name]) and recent[name].notna().sum() >= RECENT // 2]
    if not daily:
        return pd.Series(dtype=float)
    shifts = (recent[daily].mean() - past[daily].mean()).abs() / past[daily].std()
    return shifts.sort_values(ascending=False, kind="stable")


def _frozen(values: pd.DataFrame) -> list[str]:
    """Daily features that have not moved at all of late."""
    past, recent = values.iloc[:-FROZEN].tail(TRAILING), values.tail(FROZEN)
    return [
        name for name in values if _moves(past[name]) and recent[name].nunique() == 1 and recent[name].notna().all()
    ]


def _moves(column: pd.Series) -> bool:
    present = column.dropna()
    return len(present) >= TRAILING // 4 and bool((present.diff().iloc[1:] != 0).mean() >= MOVES)


def _standstill(close: pd.Series) -> int:
    """How many of the newest closes repeat the one before."""
    changed = close.diff().ne(0).to_numpy()[::-1]
    return int(changed.argmax()) if changed.any() else 0


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def _day(value) -> str:
    return "none" if pd.isna(value) else f"{value:%Y-%m-%d}"


def _days(dates: pd.Series) -> str:
    return _names([_day(value) for value in dates.drop_duplicates().sort_values(ascending=False)])


def _names(names: list[str]) -> str:
    if not names:
        return "none"
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more

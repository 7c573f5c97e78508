"""How a pull of a series is merged into its landing rows, so that each value keeps the day on which it became public.

Rows are added and never changed: a revised value is a new row with a later available_on. A row's `available_by` says
where available_on comes from:

- `rule`: the publisher's rule, for the first load of the history and for releases on schedule;
- `capture`: the day on which the value was first seen here, or published according to the server;
- `publisher`: a vintage date of the publisher.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError

COLUMNS = ["series_id", "obs_date", "available_on", "value", "available_by"]
MAX_MISSING = 0.02  # of the observations on file that a pull may lack
MAX_CHANGED = 0.20  # of the observations of a series whose revisions are rare
MIN_COUNTED = 10  # fewer missing or changed observations are not evidence of a faulty pull
MAX_GAP_DAYS = {"daily": (1, 2), "weekly": (6, 8), "monthly": (27, 32)}  # median days between observations
ONE_DAY = pd.Timedelta(days=1)


@dataclass(frozen=True)
class Merged:
    """Rows of one series after a pull.

    Attributes
    ----------
    rows : DataFrame
        Columns of `COLUMNS`.
    n_new, n_revised : int
        Observations and revised values that were added.
    n_kept : int
        Observations on file, within the period of the pull, that the pull lacks; they stay.
    """

    rows: pd.DataFrame
    n_new: int
    n_revised: int
    n_kept: int = 0


def empty() -> pd.DataFrame:
    """Return a frame without rows, with the columns and types of series rows.

    Returns
    -------
    DataFrame
        Columns of `COLUMNS`.
    """
    days = pd.Series(dtype="datetime64[us]")
    text = pd.Series(dtype=object)
    return pd.DataFrame(
        {
            "series_id": text,
            "obs_date": days,
            "available_on": days,
            "value": pd.Series(dtype=float),
            "available_by": text,
        }
    )


def _newest_values(rows: pd.DataFrame) -> pd.Series:
    """Return the newest vintage of each observation of one series, by obs_date."""
    return rows.sort_values(["obs_date", "available_on"]).groupby("obs_date")["value"].last()


def merge_observations(
    series_id: str,
    held: pd.DataFrame,
    pulled: pd.Series,
    rule: Mapping,
    *,
    now: datetime,
    pulled_before: datetime | None,
    published_at: datetime | None = None,
    delays: Mapping[date, date] | None = None,
) -> Merged:
    """Merge a pull that has only the newest value of each observation.

    Parameters
    ----------
    series_id : str
        Names the rows.
    held : DataFrame
        Rows of this series on file, with `COLUMNS`; empty at the first load.
    pulled : Series of float
        Value by obs_date, over a period that ends with the newest observation. NaN is no value.
    rule : mapping
        Row of seeds/source_series.csv.
    now : datetime
        When the values were fetched.
    pulled_before : datetime or None
        When this series was last fetched without an error; None if that is not known.
    published_at : datetime, optional
        When the publisher's server says that it published the newest values.
    delays : mapping from date to date, optional
        Known late releases of the history, see `available_by_rule`.

    Returns
    -------
    Merged
        With the rows of `held` unchanged.

    Raises
    ------
    SourceError
        The pull is empty, of another frequency, older or shorter than the rows on file, or changes too many of them.
    """
    pulled = _checked(series_id, pulled, rule)
    values = _newest_values(held)
    within = values[values.index >= pulled.index.min()]
    _refuse_shorter(series_id, within, pulled, newest_held=values.index.max() if len(values) else None)
    known = within.index.intersection(pulled.index)
    changed = known[~np.isclose(values[known], pulled[known], rtol=1e-9, atol=1e-12)]
    if rule["revisions"] == "rare" and len(changed) > max(MIN_COUNTED, MAX_CHANGED * len(known)):
        raise SourceError(
            f"{series_id}: {len(changed)} of {len(known)} values on file have changed, of a series that is rarely revised; "
            f"the newest is {pulled[changed[-1]]:g} instead of {values[changed[-1]]:g}",
            "The column, the unit or the definition may have changed: compare with the publisher's page. "
            f"To load the series again, without its vintages on file: --reload {series_id}.",
        )
    new = pulled.index.difference(values.index)
    captured = pd.Timestamp(trade_date(now))
    due = available_by_rule(new.to_series(), rule, delays)
    available, by = _available_later(due, rule, captured, pulled_before, published_at, now)
    is_history = new < values.index.min() if len(values) else np.full(len(new), True)
    available, by = available.mask(is_history, due), by.mask(is_history, "rule")
    rows = [held, _rows(series_id, new, available, pulled, by)]
    if len(changed):
        # never on the day of the vintage before: a build may have read that one
        newest_vintage = held.groupby("obs_date")["available_on"].max()[changed]
        visible = (newest_vintage + ONE_DAY).clip(lower=captured)
        rows.append(_rows(series_id, changed, visible, pulled, pd.Series("capture", index=changed)))
    merged = pd.concat([part for part in rows if len(part)], ignore_index=True)
    return Merged(sort(merged), len(new), len(changed), len(within) - len(known))


def merge_vintages(series_id: str, held: pd.DataFrame, pulled: pd.DataFrame, rule: Mapping) -> Merged:
    """Merge a pull that has the publisher's vintages.

    Vintages of the publisher replace rows of this series whose available_on was only estimated.

    Parameters
    ----------
    series_id : str
        Names the rows.
    held : DataFrame
        Rows of this series on file, with `COLUMNS`; empty at the first load.
    pulled : DataFrame
        Columns obs_date, available_on, value and available_by: every value with the day on which it became public.
    rule : mapping
        Row of seeds/source_series.csv.

    Returns
    -------
    Merged
        With the publisher's rows of `held` unchanged.

    Raises
    ------
    SourceError
        The pull is empty, of another frequency, or older or shorter than the rows on file.
    """
    newest = _checked(series_id, _newest_values(pulled), rule)
    is_published = held["available_by"] == "publisher"
    base = held if is_published.any() else held.iloc[:0]
    values = _newest_values(held)
    within = values[values.index >= newest.index.min()] if len(base) else values
    _refuse_shorter(series_id, within, newest, newest_held=values.index.max() if len(values) else None)
    both = pd.concat([base.assign(_held=True), _after_held(base, pulled).assign(series_id=series_id, _held=False)])
    both = both.sort_values(["obs_date", "available_on", "_held"], ascending=[True, True, False], ignore_index=True)
    # the edge of a window repeats a value with the window's first day
    is_repeated = (both["obs_date"] == both["obs_date"].shift()) & (both["value"] == both["value"].shift())
    both = both[both["_held"] | ~is_repeated].drop_duplicates(["obs_date", "available_on"], keep="first")
    key = ["obs_date", "available_on"]
    added = both[~both["_held"]].merge(held[[*key, "value"]], how="left", indicator="_source")
    added = added[added["_source"] == "left_only"]
    n_new = len(set(added["obs_date"]) - set(held["obs_date"]))
    kept = len(within.index.difference(newest.index))
    return Merged(sort(both), n_new, len(added) - n_new, kept)


def _after_held(held: pd.DataFrame, pulled: pd.DataFrame) -> pd.DataFrame:
    """Date a value one day later if the vintage on file of the same day has another value: rows on file stay."""
    key = ["obs_date", "available_on"]
    on_file = pulled[key].merge(held[[*key, "value"]], on=key, how="left")["value"].to_numpy()
    has_changed = ~np.isnan(on_file) & (on_file != pulled["value"].to_numpy())
    days = pulled["available_on"] + pd.to_timedelta(has_changed.astype(int), unit="D")
    return pulled.assign(available_on=days.to_numpy())


def sort(rows: pd.DataFrame) -> pd.DataFrame:
    """Order series rows by their key, with plain types, so that equal rows are equal files.

    Parameters
    ----------
    rows : DataFrame
        With `COLUMNS`.

    Returns
    -------
    DataFrame
        Columns of `COLUMNS`.
    """
    rows = rows[COLUMNS].astype({"obs_date": "datetime64[us]", "available_on": "datetime64[us]", "value": float})
    return rows.sort_values(["series_id", "obs_date", "available_on"], ignore_index=True)


def _checked(series_id: str, pulled: pd.Series, rule: Mapping) -> pd.Series:
    """Return the values in order of date, without missing ones."""
    pulled = pulled.set_axis(pd.DatetimeIndex(pulled.index).as_unit("us")).dropna().sort_index()
    if pulled.empty:
        raise SourceError(
            f"{series_id}: the publisher sent no values", "Try again later; see the raw response for what it sent."
        )
    repeated = pulled.index[pulled.index.duplicated(keep=False)]
    if len(repeated):
        contradictory = pulled.groupby(level=0).nunique()
        if (contradictory > 1).any():
            day = contradictory.index[contradictory > 1][0]
            raise SourceError(
                f"{series_id}: two different values for {int((contradictory > 1).sum())} of its dates, first {day:%Y-%m-%d}",
                "The response is faulty: try again later.",
            )
        pulled = pulled[~pulled.index.duplicated()]
    low, high = MAX_GAP_DAYS[rule["frequency"]]
    if len(pulled) > MIN_COUNTED and not low <= (gap := pulled.index.to_series().diff().dt.days.median()) <= high:
        raise SourceError(
            f"{series_id}: its observations are {gap:.0f} days apart, but the series is {rule['frequency']}",
            "The publisher may have aggregated it: see the raw response.",
        )
    return pulled


def _refuse_shorter(series_id: str, within: pd.Series, pulled: pd.Series, newest_held: pd.Timestamp | None) -> None:
    if newest_held is not None and pulled.index.max() < newest_held:
        raise SourceError(
            f"{series_id}: the pull ends on {pulled.index.max():%Y-%m-%d}, before the newest value on file "
            f"({newest_held:%Y-%m-%d})",
            "An older or cut copy was sent: try again later.",
        )
    missing = within.index.difference(pulled.index)
    if len(missing) > max(MIN_COUNTED, MAX_MISSING * len(within)):
        raise SourceError(
            f"{series_id}: the pull lacks {len(missing)} of {len(within)} observations on file, first {missing[0]:%Y-%m-%d}",
            "A shorter pull is refused, because it may be cut: try again later. If the publisher has withdrawn them, "
            f"load the series again, without its vintages on file: --reload {series_id}.",
        )


def _available_later(
    due: pd.Series,
    rule: Mapping,
    captured: pd.Timestamp,
    pulled_before: datetime | None,
    published_at: datetime | None,
    now: datetime,
) -> tuple[pd.Series, pd.Series]:
    """Return available_on of observations that an earlier pull did not have, and where it comes from."""
    if rule["live_availability"] == "capture" or pulled_before is None:
        is_plausible = published_at is not None and (pulled_before is None or pulled_before < published_at <= now)
        seen = pd.Timestamp(trade_date(published_at)) if published_at and is_plausible else captured
        late = due < seen
    else:
        # due before the pull that did not have it: it was late
        seen, late = captured, due < pd.Timestamp(trade_date(pulled_before))
    return due.where(~late, seen), pd.Series(np.where(late, "capture", "rule"), index=due.index)


def _rows(series_id: str, days: pd.Index, available: pd.Series, values: pd.Series, by: pd.Series) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "series_id": series_id,
            "obs_date": days,
            "available_on": available.to_numpy(),
            "value": values[days].to_numpy(),
            "available_by": by.to_numpy(),
        }
    )

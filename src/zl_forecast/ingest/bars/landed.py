"""What an adapter of futures hands over: bars, the curve, and what a reader must know about them."""

import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd

from zl_forecast.errors import LandingError, listed
from zl_forecast.ingest.adapters.base import Request, Rows
from zl_forecast.ingest.bars.rolls import BARS, CURVE, Rolled
from zl_forecast.ingest.sources import SourceError
from zl_forecast.paths import data_dir

LISTED = 8  # days in a message
MAX_MISSING = 0.02  # of the bars on file that may be missing when files are read again
DAY = "datetime64[us]"
BAR_TYPES = dict.fromkeys(BARS, float) | {"symbol": object, "as_of_date": DAY, "volume": "Int64", "contract_id": object}
CURVE_TYPES = dict.fromkeys(CURVE, DAY) | {"symbol": object, "settle": float, "open_interest": "Int64"}


@dataclass
class Futures:
    """Rows of one source.

    Attributes
    ----------
    bars : DataFrame
        Columns of bars_daily; one row per symbol and session.
    curve : DataFrame
        Columns of curve_daily; empty if the source has no single contracts.
    notes : list of str
        What was left out, repaired or is uncertain: one sentence each, with symbol, number and days.
    """

    bars: pd.DataFrame
    curve: pd.DataFrame
    notes: list[str] = field(default_factory=list)


def join_bars(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the bars of several symbols, in the order and types of the landing file.

    Parameters
    ----------
    parts : list of DataFrame
        Columns of bars_daily.

    Returns
    -------
    DataFrame
        Ascending by symbol and date.
    """
    return _join(parts, BAR_TYPES, ["symbol", "as_of_date"])


def join_curves(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the curves of several symbols, in the order and types of the landing file.

    Parameters
    ----------
    parts : list of DataFrame
        Columns of curve_daily.

    Returns
    -------
    DataFrame
        Ascending by symbol, date and delivery month.
    """
    return _join(parts, CURVE_TYPES, ["symbol", "as_of_date", "contract_month"])


def _join(parts: list[pd.DataFrame], types: dict, key: list[str]) -> pd.DataFrame:
    empty = pd.DataFrame(columns=list(types)).astype(types)
    rows = pd.concat([empty, *(part for part in parts if len(part))], ignore_index=True)[list(types)]
    return rows.astype(types).sort_values(key, ignore_index=True)


def list_days(days: Collection[date]) -> str:
    """List days for a message.

    Parameters
    ----------
    days : collection of date
        In any order.

    Returns
    -------
    str
        At most LISTED of them.

    Examples
    --------
    >>> list_days([date(2024, 1, 3), date(2024, 1, 2)])
    '2024-01-02, 2024-01-03'
    """
    return listed([day.isoformat() for day in sorted(days)], LISTED)


def count(number: int, noun: str) -> str:
    """Return a number with its noun.

    Parameters
    ----------
    number : int
        Of things.
    noun : str
        Singular; the plural has an s.

    Returns
    -------
    str
        Such as `1 session` or `2 sessions`.

    Examples
    --------
    >>> count(1, "session"), count(1200, "session")
    ('1 session', '1,200 sessions')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def roll_notes(symbol: str, rolled: Rolled, *, is_continuous: bool) -> list[str]:
    """Describe the sessions that a roll left without a bar, or that were repaired.

    Parameters
    ----------
    symbol : str
        As in bars_daily.
    rolled : Rolled
        From `zl_forecast.ingest.bars.rolls`.
    is_continuous : bool
        Whether the source had a continuous series only.

    Returns
    -------
    list of str
        Empty if there is nothing to say.
    """
    fault = "the continuous series rolls back or jumps to a thin contract"
    notes = []
    if rolled.replaced:
        notes.append(
            f"{symbol}: {count(len(rolled.replaced), 'session')} repaired with the bar of the front contract, because {fault}: "
            f"{list_days(rolled.replaced)}"
        )
    if rolled.left_out and is_continuous:
        notes.append(
            f"{symbol}: {count(len(rolled.left_out), 'session')} left out, because {fault}: {list_days(rolled.left_out)}"
        )
    elif rolled.left_out:
        notes.append(
            f"{symbol}: {count(len(rolled.left_out), 'session')} without a bar, because the front is not known yet or did not trade: "
            f"{list_days(rolled.left_out)}"
        )
    return notes


def replace_rows(request: Request, read_files: Callable[[], Futures]) -> Iterator[Rows]:
    """Yield the rows of a source that has read all its files, in place of those that it landed before.

    Parameters
    ----------
    request : Request
        What is on file; receives the notes, and a failure per symbol whose bars are fewer than on file.
    read_files : callable
        Reads the files.

    Yields
    ------
    Rows
        Bars, and the curve, of the symbols that are complete.
    """
    try:
        read = read_files()
    except LandingError as error:
        raise SourceError(error.what, error.remedy) from error
    for note in read.notes:
        request.progress(note)
    request.notes += read.notes
    refused = set()
    for symbol, on_file in request.held["bars_daily"].groupby("symbol")["as_of_date"]:
        with request.isolated(str(symbol)):
            try:
                _refuse_shorter(str(symbol), on_file, read.bars.loc[read.bars["symbol"] == symbol, "as_of_date"])
            except SourceError:
                refused.add(symbol)
                raise
    for table, rows in (("bars_daily", read.bars), ("curve_daily", read.curve)):
        rows = rows[~rows["symbol"].isin(refused)]
        if len(rows):
            yield Rows(table, rows, replaces=True)


def _refuse_shorter(symbol: str, on_file: pd.Series, read: pd.Series) -> None:
    missing = on_file[~on_file.isin(read)]
    if read.empty or read.max() < on_file.max() or len(missing) > MAX_MISSING * len(on_file):
        raise SourceError(
            f"{symbol}: the files have {'no bars' if read.empty else f'bars to {read.max():%Y-%m-%d}'}, but {len(on_file):,} to "
            f"{on_file.max():%Y-%m-%d} are landed, of which {count(len(missing), 'session')} would be lost, first {missing.min():%Y-%m-%d}",
            f"Put the missing files back; if fewer bars are right, accept them with --reload {symbol}.",
        )


def input_folder(variable: str, name: str) -> Path:
    """Return the folder of the files that a source reads.

    Parameters
    ----------
    variable : str
        Environment variable with its path.
    name : str
        Folder below the data folder that is used without the variable.

    Returns
    -------
    Path
        The second may not exist.

    Raises
    ------
    SourceError
        The first is no folder.
    """
    named = os.environ.get(variable)
    if named and not Path(named).is_dir():
        raise SourceError(f"{variable} names {named}, which is no folder", "Correct it, or unset it.")
    return Path(named) if named else data_dir() / name

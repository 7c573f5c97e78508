"""What an adapter is given, and what it yields.

An adapter is a module of this package with the name of its source and the function

    def pull(request: Request) -> Iterator[Observations | Vintages | Rows]: ...

It knows the publisher's addresses and formats, and nothing of vintages, landing files or retries: ingest merges what it
yields into the source's landing files. It raises `SourceError` if the whole source fails, `SourceSkipped` if there is
nothing to do, and wraps the work on one series or symbol in `request.isolated(name)`, so that the others go on.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime

import pandas as pd

from zl_forecast.ingest.client import Client, PublisherUnreachable
from zl_forecast.ingest.sources import Source, SourceError

CHANGED = "The format may have changed: see the raw response."
OVERLAP_DAYS = {"rare": 90, "recent": 400}  # of the past that a later pull reads again, to find revised values


class SourceSkipped(Exception):
    """The source has nothing to do here, for the reason given; not a failure."""


@dataclass(frozen=True)
class Observations:
    """The newest value of each observation of one series; ingest decides since when it is available.

    Attributes
    ----------
    series_id : str
        As in seeds/source_series.csv.
    values : Series of float
        By obs_date (datetime64); NaN is no value. Ingest leaves out what is older than `Request.window_start`.
    fetched_at : datetime
        When the publisher sent it.
    published_at : datetime or None
        When the publisher's server says that it published the newest value.
    """

    series_id: str
    values: pd.Series
    fetched_at: datetime
    published_at: datetime | None = None


@dataclass(frozen=True)
class Vintages:
    """Values of one series with the days on which the publisher released them.

    Attributes
    ----------
    series_id : str
        As in seeds/source_series.csv, or of this source's own.
    rows : DataFrame
        Columns obs_date, available_on, value and available_by (`publisher`, or `rule` for what is older than the
        publisher's archive).
    fetched_at : datetime
        When the publisher sent it.
    """

    series_id: str
    rows: pd.DataFrame
    fetched_at: datetime


@dataclass(frozen=True)
class Rows:
    """Rows of a table without vintages: bars, the curve, policy events.

    A row whose key is on file replaces it; rows on file that are not here stay.

    Attributes
    ----------
    table : {"bars_daily", "curve_daily", "policy_events"}
        Table of the contract.
    rows : DataFrame
        Columns of the contract; further columns are kept as text.
    replaces : bool
        Whether all rows on file of the symbols in `rows` are dropped first: for a source that reads all its files each
        time, so that rows of files that were removed or corrected do not stay.
    """

    table: str
    rows: pd.DataFrame
    replaces: bool = False


@dataclass
class Request:
    """What to pull.

    Attributes
    ----------
    source : Source
        Its row of seeds/sources.csv.
    client : Client
        HTTP client with the source's limits.
    series : DataFrame
        Rows of seeds/source_series.csv that this source supplies here, by series_id.
    held : dict[str, DataFrame]
        Rows on file by table; a frame without columns where there is no file.
    taken : dict[str, dict[str, str]]
        By table, the symbols or series that other files supply in place of this source, with the file's name.
    key : str or None
        Access key.
    history_from : date
        First day of the history.
    is_full : bool
        Whether to read the whole history again.
    progress : callable
        Shows a line of text.
    notes : list of str
        What the user should know, shown with the outcome.
    failures : dict[str, str]
        Error by series or symbol.
    """

    source: Source
    client: Client
    series: pd.DataFrame
    held: dict[str, pd.DataFrame]
    taken: dict[str, dict[str, str]]
    key: str | None
    history_from: date
    is_full: bool
    progress: Callable[[str], None]
    notes: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    n_unreachable: int = 0

    def window_start(self, series_id: str) -> date:
        """Return the first observation that a pull of a series must have.

        Parameters
        ----------
        series_id : str
            A series of `series`.

        Returns
        -------
        date
            `history_from` for the first load and for a series whose whole history is revised; later an overlap
            before the newest observation on file, in which revised values are found.
        """
        held = self.held["series"]
        days = held.loc[held["series_id"] == series_id, "obs_date"]
        overlap = OVERLAP_DAYS.get(self.series.at[series_id, "revisions"])
        if self.is_full or not len(days) or overlap is None:
            return self.history_from
        return max(self.history_from, (days.max() - pd.Timedelta(days=overlap)).date())

    def untaken(self, table: str, subjects: Collection[str]) -> list[str]:
        """Return the subjects that this source supplies here, and note the files that supply the others.

        Parameters
        ----------
        table : str
            Table of the contract.
        subjects : collection of str
            All symbols or buckets that the source could supply.

        Returns
        -------
        list of str
            Those that no other file supplies.

        Raises
        ------
        SourceSkipped
            Other files supply all of them.
        """
        others = {name: file for name, file in self.taken.get(table, {}).items() if name in subjects}
        if len(others) == len(subjects):
            raise SourceSkipped(f"other files supply its {table}: {', '.join(sorted(set(others.values())))}")
        self.notes += [f"{file} supplies {name}" for name, file in others.items()]
        return [name for name in subjects if name not in others]

    @contextmanager
    def isolated(self, name: str) -> Iterator[None]:
        """Record the failure of one series or symbol, and go on with the next.

        Parameters
        ----------
        name : str
            Series or symbol.

        Raises
        ------
        SourceError
            The publisher could not be reached for two series in a row: the source is given up for this run.
        """
        try:
            yield
            self.n_unreachable = 0
        except SourceError as error:
            self.failures[name] = str(error).removeprefix(f"{name}: ")
            self.progress(f"{name}: {self.failures[name]}")
            if isinstance(error, PublisherUnreachable):
                self.n_unreachable += 1
                if self.n_unreachable > 1:
                    raise


@contextmanager
def parsing(
    what: str, remedy: str = CHANGED, errors: type[Exception] | tuple[type[Exception], ...] = ValueError
) -> Iterator[None]:
    """Raise an error that says what cannot be read, if the body of the `with` statement cannot read it.

    Parameters
    ----------
    what : str
        Such as "a date or price".
    remedy : str
        What to do.
    errors : type or tuple of types
        What the body raises if a text has another form.

    Raises
    ------
    SourceError
        The body has raised one of `errors`.
    """
    try:
        yield
    except errors as error:
        raise SourceError(f"{what} cannot be read: {str(error)[:100]}", remedy) from None

"""Read all sources in order, land what each of them sent, and record the outcome of each.

A source that fails leaves its landing file as it was and does not stop the others.
"""

import sqlite3
import sys
import time
import traceback
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path

import pandas as pd

from zl_forecast.errors import ZlForecastError, printable
from zl_forecast.ingest import vintages
from zl_forecast.ingest.adapters.base import Observations, Request, Rows, SourceSkipped, Vintages
from zl_forecast.ingest.client import FIRST_WAIT_SECONDS, Client
from zl_forecast.ingest.keys import read_key, redact
from zl_forecast.ingest.landing_files import LandingFiles
from zl_forecast.ingest.sources import Source, SourceError, load_delays, load_series, load_sources
from zl_forecast.ingest.store import Store
from zl_forecast.landing.folder import landing_path
from zl_forecast.landing.tables import TABLES
from zl_forecast.paths import seed

HISTORY_FROM = date(2000, 1, 1)  # ten years before the oldest bars of GLBX, for users with longer ones
MAX_LISTED = 3  # failures or symbols that the summary names


@dataclass
class Outcome:
    """Outcome of one source.

    Attributes
    ----------
    source : str
        As in seeds/sources.csv.
    state : str
        landed, unchanged, partial, failed or skipped.
    n_rows, n_new, n_revised : int
        Rows on file; observations or bars, and revised values, that were added.
    newest_on : date or None
        Date of the newest observation or bar.
    reason : str
        Error, or what the user should know.
    seconds : float
        Duration.
    """

    source: str
    state: str = "failed"
    n_rows: int = 0
    n_new: int = 0
    n_revised: int = 0
    newest_on: date | None = None
    reason: str = ""
    seconds: float = 0.0


@dataclass
class _Landing:
    """What one source has sent so far, merged with its rows on file."""

    files: LandingFiles
    store: Store
    request: Request
    held: dict[str, pd.DataFrame]  # also what is loaded again
    delays: dict[date, date]
    reload: Collection[str]
    rows: dict[str, pd.DataFrame] = field(default_factory=dict)
    pulled_at: dict[str, datetime] = field(default_factory=dict)
    n_new: int = 0
    n_revised: int = 0

    def add(self, part: Observations | Vintages | Rows) -> None:
        if isinstance(part, Rows):
            self._add_rows(part)
        else:
            with self.request.isolated(part.series_id):
                self._add_series(part)

    def _add_series(self, part: Observations | Vintages) -> None:
        series_id, source = part.series_id, self.request.source.source
        held = self._held("series")
        own = held[held["series_id"] == series_id]
        if own.empty and series_id not in self.reload:  # another source supplied the series until now
            elsewhere = self.files.rows_elsewhere(source, series_id)
            own = elsewhere if len(elsewhere) else own
        rule = self.request.series.loc[series_id]
        if isinstance(part, Vintages):
            merged = vintages.merge_vintages(series_id, own, part.rows, rule)
        else:
            start = pd.Timestamp(self.request.window_start(series_id))
            merged = vintages.merge_observations(
                series_id,
                own,
                part.values[part.values.index >= start],
                rule,
                now=part.fetched_at,
                pulled_before=self.store.pulled_before(source, series_id),
                published_at=part.published_at,
                delays=self.delays,
            )
        self.rows["series"] = pd.concat([held[held["series_id"] != series_id], merged.rows], ignore_index=True)
        self.pulled_at[series_id] = part.fetched_at
        self.n_new, self.n_revised = self.n_new + merged.n_new, self.n_revised + merged.n_revised
        if merged.n_kept:
            self.request.notes.append(f"{series_id}: {merged.n_kept} values that the publisher no longer has stay")
        newest = merged.rows["obs_date"].max()
        self.request.progress(f"{series_id}: to {newest:%Y-%m-%d}, {merged.n_new:,} new, {merged.n_revised:,} revised")

    def _add_rows(self, part: Rows) -> None:
        key, held = list(TABLES[part.table].key), self._held(part.table)
        dates = [column for column, kind in TABLES[part.table].columns.items() if kind == "DATE"]
        rows = part.rows.assign(**{name: pd.to_datetime(part.rows[name]).astype("datetime64[us]") for name in dates})
        if held.empty:
            merged, n_new, n_changed = rows, len(rows), 0
        else:
            on_file, pulled = (pd.MultiIndex.from_frame(frame[key]) for frame in (held, rows))
            subject = TABLES[part.table].subject
            dropped = held[subject].isin(rows[subject]) if part.replaces else on_file.isin(pulled)
            merged = pd.concat([held[~dropped], rows], ignore_index=True)
            n_new = int((~pulled.isin(on_file)).sum())
            n_changed = _count_changes(part.table, held[on_file.isin(pulled)], rows[pulled.isin(on_file)])
        self.rows[part.table] = merged
        self.n_new, self.n_revised = self.n_new + n_new, self.n_revised + n_changed
        self.request.progress(f"{part.table}: {n_new:,} new, {n_changed:,} changed")

    def _held(self, table: str) -> pd.DataFrame:
        return self.rows[table] if table in self.rows else self.request.held[table]

    def land(self) -> bool:
        """Write the landing files; return whether any has changed."""
        written, source = False, self.request.source.source
        for table, rows in self.rows.items():
            if len(on_file := self.held[table]):  # what could not be loaded again stays
                rows = pd.concat([rows, on_file[~_is_of(table, on_file, set(rows[TABLES[table].subject]))]])
                self.rows[table] = rows
            landed = self.files.land(table, source, rows)
            written |= landed.is_written
            _note_left_out(self.request, landed.left_out)
        self.store.note_pulls(source, self.pulled_at)  # after the files: a crash in between only dates a value later
        return written

    def summary(self) -> tuple[int, date | None]:
        """Return the number of rows, and the date of the newest observation or bar."""
        days = [
            rows["obs_date" if table == "series" else TABLES[table].date].max() for table, rows in self.rows.items()
        ]
        return sum(map(len, self.rows.values())), max(days).date() if days else None


def _count_changes(table: str, before: pd.DataFrame, after: pd.DataFrame) -> int:
    """Count the rows of equal keys whose values differ."""
    columns, key = list(TABLES[table].columns), list(TABLES[table].key)
    one, other = (rows[columns].set_index(key).sort_index().astype(object) for rows in (before, after))
    return int(((one != other) & ~(one.isna() & other.isna())).any(axis=1).sum())


def ingest(
    names: Sequence[str] = (),
    *,
    is_full: bool = False,
    reload: Collection[str] = (),
    history_from: date = HISTORY_FROM,
    first_wait_seconds: float = FIRST_WAIT_SECONDS,
) -> list[Outcome]:
    """Read sources and land what they sent; print progress.

    Parameters
    ----------
    names : sequence of str
        Sources of seeds/sources.csv; all if empty.
    is_full : bool
        Whether to read the whole history again, to find revised values of the distant past.
    reload : collection of str
        Series or symbols whose rows on file are dropped and loaded again, with their vintages.
    history_from : date
        First day of the history.
    first_wait_seconds : float
        Wait before the first retry of a request.

    Returns
    -------
    list of Outcome
        One per source, in the order of the seed.

    Raises
    ------
    ZlForecastError
        A source, series or symbol does not exist, another ingest is running, or the landing folder holds a simulated market.
    """
    sources = load_sources()
    unknown = sorted(set(names) - set(sources))
    if unknown:
        raise ZlForecastError(f"there is no source {', '.join(unknown)}. The sources are {', '.join(sources)}.")
    known = set(pd.read_csv(seed("source_series"))["series_id"]) | set(pd.read_csv(seed("instruments"))["symbol"])
    known |= set(" ".join(pd.read_csv(seed("buckets"))["events"].dropna()).split())
    if strange := sorted(set(reload) - known):
        raise ZlForecastError(
            f"there is no series or symbol {', '.join(strange)}, nor a bucket of events; see seeds/source_series.csv, "
            "seeds/instruments.csv and column events of seeds/buckets.csv."
        )
    files = LandingFiles(landing_path(), sources)
    run_id = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    outcomes = []
    with Store().locked() as store:
        files.remove_leftovers()
        for source in (source for name, source in sources.items() if not names or name in names):
            store.begin_run(run_id, source.source)
            outcome = _ingest_source(
                source,
                files,
                store,
                is_full=is_full,
                reload=reload,
                history_from=history_from,
                first_wait_seconds=first_wait_seconds,
            )
            store.end_run(
                run_id,
                source.source,
                outcome.state,
                n_rows=outcome.n_rows,
                n_new=outcome.n_new,
                n_revised=outcome.n_revised,
                newest_on=outcome.newest_on,
                reason=outcome.reason,
            )
            outcomes.append(outcome)
    return outcomes


def _ingest_source(
    source: Source,
    files: LandingFiles,
    store: Store,
    *,
    is_full: bool,
    reload: Collection[str],
    history_from: date,
    first_wait_seconds: float,
) -> Outcome:
    started, outcome = time.monotonic(), Outcome(source.source)
    key = read_key(source.key_variable)
    keys = [key] if key else []

    def progress(text: str) -> None:
        print(f"{source.source:17} {printable(redact(text, keys))}", file=sys.stderr, flush=True)

    progress(f"reading {source.publisher}")
    try:
        if source.key == "required" and key is None:
            raise SourceSkipped(f"no access key: set {source.key_variable} in the environment or in .env")
        taken = {table: files.subjects_of_others(table, source.source) for table in source.tables}
        held = {table: _held_rows(files, table, source.source, taken[table]) for table in source.tables}
        series = load_series(source.source)
        others = {name: file for name, file in taken.get("series", {}).items() if name in series.index}
        series = series[~series.index.isin(others)]
        if source.tables == ("series",) and series.empty:
            raise SourceSkipped(f"other files supply its series: {_listed(sorted(set(others.values())), ', ')}")
        with Client(source, store, keys=keys, first_wait_seconds=first_wait_seconds, progress=progress) as client:
            request = Request(
                source,
                client,
                series,
                {table: rows[~_is_of(table, rows, reload)] for table, rows in held.items()},
                taken,
                key,
                history_from=history_from,
                is_full=is_full,
                progress=progress,
            )
            landing = _Landing(files, store, request, held, load_delays(source.source), reload)
            _note_left_out(request, others)
            adapter = import_module(f"zl_forecast.ingest.adapters.{source.source}")
            stopped: SourceError | None = None
            try:
                for part in adapter.pull(request):
                    landing.add(part)
            except SourceError as error:  # what was sent before is landed all the same
                stopped = error
            except (SourceSkipped, sqlite3.Error, OSError):
                raise
            except Exception as error:
                stopped = _defect(error)
            is_written = landing.land()
        outcome.n_rows, outcome.newest_on = landing.summary()
        outcome.n_new, outcome.n_revised = landing.n_new, landing.n_revised
        errors = _grouped(request.failures)
        if stopped and not any(str(stopped).endswith(text) for text in request.failures.values()):
            errors.insert(0, str(stopped))
        outcome.state = "landed" if is_written else "unchanged"
        if errors:
            outcome.state = "partial" if landing.rows else "failed"
        outcome.reason = _listed([*errors, *dict.fromkeys(request.notes)])
    except SourceSkipped as skipped:
        outcome.state, outcome.reason = "skipped", str(skipped)
    except SourceError as error:
        outcome.reason = str(error)
    except sqlite3.Error:
        raise  # nothing can be recorded any more
    except OSError as error:
        outcome.reason = f"{error.filename or 'a file'}: {error.strerror}. Check permissions and free disk space."
    except Exception as error:  # a defect must not stop the other sources
        outcome.reason = str(_defect(error))
    outcome.reason = printable(redact(outcome.reason, keys))
    outcome.seconds = time.monotonic() - started
    return outcome


def _defect(error: Exception) -> SourceError:
    place = traceback.extract_tb(error.__traceback__)[-1]
    return SourceError(
        f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})",
        "This is a defect: please report it.",
    )


def _grouped(failures: Mapping[str, str]) -> list[str]:
    """Return one text per distinct failure, with the series or symbols that it concerns."""
    names: dict[str, list[str]] = {}
    for name, text in failures.items():
        names.setdefault(text, []).append(name)
    return [f"{_listed(concerned, ', ')}: {text}" for text, concerned in names.items()]


def _held_rows(files: LandingFiles, table: str, source: str, taken: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows on file, without those that another file now supplies; the landing file then loses them as well."""
    rows = files.rows(table, source)
    if (is_taken := _is_of(table, rows, taken)).any():
        files.land(table, source, rows)
        return rows[~is_taken]
    return rows


def _is_of(table: str, rows: pd.DataFrame, subjects: Collection[str]) -> pd.Series:
    return rows[TABLES[table].subject].isin(list(subjects))


def _note_left_out(request: Request, left_out: dict[str, str]) -> None:
    for file in sorted(set(left_out.values())):
        names = [name for name, other in left_out.items() if other == file]
        request.notes.append(f"{file} supplies {_listed(names, ', ')}")


def _listed(texts: Iterable[str], separator: str = "; ") -> str:
    texts = list(texts)
    more = len(texts) - MAX_LISTED
    return separator.join(text.rstrip(".") for text in texts[:MAX_LISTED]) + (
        f"{separator}{more} more" if more > 0 else ""
    )


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print a table of the outcomes, and the next step.

    Parameters
    ----------
    outcomes : sequence of Outcome
        From `ingest`.
    """
    print(f"\n{'source':17}  {'state':10}  {'rows':>9}  {'new':>7}  {'revised':>7}  {'newest':10}  {'seconds':>7}")
    for outcome in outcomes:
        newest = outcome.newest_on.isoformat() if outcome.newest_on else "-"
        print(
            f"{outcome.source:17}  {outcome.state:10}  {outcome.n_rows:9,}  {outcome.n_new:7,}  {outcome.n_revised:7,}  "
            f"{newest:10}  {outcome.seconds:7.1f}"
        )
    for outcome in outcomes:
        if outcome.reason:
            print(f"\n{outcome.source}, {outcome.state}: {outcome.reason}")
    folder = landing_path()
    with suppress(OSError):
        if not list(folder.glob("bars_daily*")):
            print(f"\nNo bars of ZL yet: {folder} has no bars_daily file, so a build would stop.")
            return
    print(f"\nLanded in {printable(str(folder))}. Next: make build")

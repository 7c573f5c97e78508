"""Landing files of the sources: `TABLE_SOURCE.parquet`, one per table and source, replaced as a whole or not at all.

If two files supply the same symbol or series, one of them does: a file that ingest did not write comes first, then the
source with the lower rank in seeds/sources.csv. The other source's file leaves that symbol or series out. A series whose
newest value counts as missing (max_age_days of seeds/series.csv) is free for the other sources, so that the second
source of a series is a fallback; it takes over the rows on file.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from zl_forecast.errors import LandingError, ZlForecastError, printable
from zl_forecast.ingest.sources import Source, SourceError
from zl_forecast.landing.contract import check_file
from zl_forecast.landing.folder import SIMULATED_MARKER, TEMPORARY_PREFIX, LandingFolder
from zl_forecast.landing.tables import TABLES
from zl_forecast.paths import seed

EXTRA_COLUMNS = {"series": ("available_by",)}  # of the files that ingest writes
ARROW_TYPES = {"VARCHAR": pa.string(), "DATE": pa.date32(), "DOUBLE": pa.float64(), "BIGINT": pa.int64()}


@dataclass(frozen=True)
class Landed:
    """Outcome of landing the rows of one table and source.

    Attributes
    ----------
    file : Path
        The landing file; it does not exist if there are no rows.
    is_written : bool
        False if the file already held these rows; it is then untouched.
    left_out : dict[str, str]
        Symbols or series that another file supplies, with that file's name.
    """

    file: Path
    is_written: bool
    left_out: dict[str, str] = field(default_factory=dict)


class LandingFiles:
    """The landing folder, as ingest writes it.

    Parameters
    ----------
    folder : Path
        Created at the first write.
    sources : mapping of str to Source
        All sources, see `load_sources`.

    Raises
    ------
    ZlForecastError
        The folder holds a simulated market.
    """

    def __init__(self, folder: Path, sources: Mapping[str, Source]):
        if (folder / SIMULATED_MARKER).exists():
            raise ZlForecastError(
                f"{folder} holds a simulated market, which must not be mixed with real data. Point ZL_LANDING_DIR to "
                "another folder, or unset it to use data/landing."
            )
        self.folder, self.sources = folder, sources

    def file(self, table: str, source: str) -> Path:
        """Return the landing file of one table and source.

        Parameters
        ----------
        table, source : str
            Table of the contract, and source.

        Returns
        -------
        Path
            It may not exist.
        """
        return self.folder / f"{table}_{source}.parquet"

    def rows(self, table: str, source: str) -> pd.DataFrame:
        """Read the rows that a source has landed.

        Parameters
        ----------
        table, source : str
            Table of the contract, and source.

        Returns
        -------
        DataFrame
            With all columns of the file, dates as datetime64; no rows if there is no file.

        Raises
        ------
        SourceError
            The file cannot be read, or ingest did not write it.
        """
        file, extra = self.file(table, source), EXTRA_COLUMNS.get(table, ())
        try:
            found = pq.read_table(file, partitioning=None) if file.exists() else _schema(table, extra).empty_table()
            rows = found.to_pandas(date_as_object=False)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(
                f"{file} cannot be read: {printable(str(error))[:200]}",
                "Restore it from a backup, or delete it to load its history again (revised values then lose their days).",
            ) from None
        if missing := [column for column in (*TABLES[table].columns, *extra) if column not in rows]:
            raise SourceError(
                f"{file} was not written by ingest: it has no column {', '.join(missing)}",
                f"Rename it, for example to {table}_mine.parquet: files of your own come before all sources.",
            )
        for column, kind in TABLES[table].columns.items():
            if kind == "DATE":
                rows[column] = rows[column].astype("datetime64[us]")
        return rows

    def land(self, table: str, source: str, rows: pd.DataFrame) -> Landed:
        """Replace a source's landing file, if its rows have changed.

        Parameters
        ----------
        table, source : str
            Table of the contract, and source.
        rows : DataFrame
            All rows of this table and source, with the columns of the contract; further columns are kept as text.

        Returns
        -------
        Landed
            The file holds either all its old rows or all its new ones, at any moment.

        Raises
        ------
        SourceError
            The rows break the landing contract; the file is unchanged.
        """
        subject, file = TABLES[table].subject, self.file(table, source)
        others = self.subjects_of_others(table, source)
        left_out = {name: others[name] for name in sorted(set(rows[subject]) & set(others))}
        rows = rows[~rows[subject].isin(left_out)]
        if rows.empty:
            is_removed = file.exists()
            file.unlink(missing_ok=True)
            return Landed(file, is_removed, left_out)
        content = _to_arrow(table, rows)
        if file.exists() and _equal(file, content):
            return Landed(file, False, left_out)
        with self._checked_part(table, file, content) as part:
            # a reader in between misses a symbol for a moment, but never finds two rows that contradict each other
            self._remove_subjects(table, source, set(rows[subject]))
            part.replace(file)
        return Landed(file, True, left_out)

    def rows_elsewhere(self, source: str, series_id: str) -> pd.DataFrame:
        """Read the rows of a series in the files of other sources, which this source is about to supply in their place.

        Parameters
        ----------
        source, series_id : str
            Source that will supply the series, and series.

        Returns
        -------
        DataFrame
            As from `rows`; without columns if no other source has landed the series.

        Raises
        ------
        SourceError
            A file cannot be read, or ingest did not write it.
        """
        for other in self.sources:
            if other != source and series_id in _subjects("series", self.file("series", other)):
                rows = self.rows("series", other)
                return rows[rows["series_id"] == series_id]
        return pd.DataFrame()

    def remove_leftovers(self) -> None:
        """Remove the temporary folders of killed processes; only the one running ingest may call it."""
        for folder in self.folder.glob(f"{TEMPORARY_PREFIX}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def subjects_of_others(self, table: str, source: str) -> dict[str, str]:
        """Return the symbols or series that other files supply in place of this source.

        Parameters
        ----------
        table, source : str
            Table of the contract, and source.

        Returns
        -------
        dict[str, str]
            Name of the file by symbol or series.
        """
        found: dict[str, str] = {}
        for path in LandingFolder(self.folder, "market").files(table):
            owner = self._source_of(table, path)
            if owner is None:
                found |= dict.fromkeys(_subjects(table, path), path.name)
            elif owner != source and self._precedes(owner, source):
                outdated = _outdated_series(path) if table == "series" else set()
                found |= dict.fromkeys(_subjects(table, path) - outdated, path.name)
        return found

    def _remove_subjects(self, table: str, source: str, subjects: set[str]) -> None:
        """Remove symbols or series from the files of the other sources."""
        for other in self.sources:
            file = self.file(table, other)
            if other == source or not subjects & _subjects(table, file):
                continue
            rows = self.rows(table, other)
            left = rows[~rows[TABLES[table].subject].isin(subjects)]
            if left.empty:
                file.unlink()
                continue
            with self._checked_part(table, file, _to_arrow(table, left)) as part:
                part.replace(file)

    def _precedes(self, one: str, other: str) -> bool:
        return (self.sources[one].rank, one) < (self.sources[other].rank, other)

    def _source_of(self, table: str, path: Path) -> str | None:
        """Return the source whose landing file this is; None for a file that ingest did not write."""
        return next((name for name in self.sources if path == self.file(table, name)), None)

    @contextmanager
    def _checked_part(self, table: str, file: Path, content: pa.Table) -> Iterator[Path]:
        """Write a file that meets the contract into a folder beside the landing files, so that a rename is atomic."""
        folder = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=TEMPORARY_PREFIX, dir=self.folder))
            part = folder / file.name
            with part.open("wb") as stream:
                pq.write_table(content, stream, compression="zstd")
                stream.flush()
                os.fsync(stream.fileno())
            check_file(table, part)
            yield part
        except LandingError as error:
            raise SourceError(f"the rows break the landing contract: {error.what}", error.remedy) from error
        except OSError as error:
            raise SourceError(
                f"{self.folder} cannot be written: {error.strerror}",
                "Give this user write access, and free disk space.",
            ) from error
        finally:
            if folder:
                shutil.rmtree(folder, ignore_errors=True)


def _schema(table: str, extra: Iterable[str]) -> pa.Schema:
    of_contract = [(column, ARROW_TYPES[kind]) for column, kind in TABLES[table].columns.items()]
    return pa.schema([*of_contract, *((column, pa.string()) for column in extra)])


def _to_arrow(table: str, rows: pd.DataFrame) -> pa.Table:
    schema = _schema(table, [column for column in rows.columns if column not in TABLES[table].columns])
    rows = rows[schema.names].sort_values(list(TABLES[table].key), ignore_index=True)
    return pa.Table.from_pandas(rows, schema=schema, preserve_index=False).replace_schema_metadata(None)


def _equal(file: Path, content: pa.Table) -> bool:
    try:
        return pq.read_table(file, partitioning=None).replace_schema_metadata(None).equals(content)
    except (pa.ArrowException, OSError):
        return False


def _outdated_series(path: Path) -> set[str]:
    """Return the series of a source's landing file whose newest value counts as missing today."""
    try:
        rows = pq.read_table(path, columns=["series_id", "available_on"], partitioning=None).to_pandas()
    except (pa.ArrowException, OSError):
        return set()
    newest = pd.to_datetime(rows.groupby("series_id")["available_on"].max())
    max_age = pd.read_csv(seed("series"), index_col="series_id")["max_age_days"].reindex(newest.index)
    return set(newest.index[newest + pd.to_timedelta(max_age, unit="D") < pd.Timestamp(date.today())])


def _subjects(table: str, path: Path) -> set[str]:
    """Return the symbols or series of a landing file; none if there is none or it cannot be read, which `zl check` reports."""
    subject = TABLES[table].subject
    try:
        if path.suffix.lower() == ".parquet":
            values = pq.read_table(path, columns=[subject], partitioning=None)[subject]
        else:
            options = pacsv.ConvertOptions(include_columns=[subject], column_types={subject: pa.string()})
            values = pacsv.read_csv(path, convert_options=options)[subject]
    except (pa.ArrowException, OSError):
        return set()
    spelling = TABLES[table].normal.get(subject, "").partition("(")[0]
    normalise = {"upper": str.upper, "lower": str.lower}.get(spelling, str)
    return {normalise(str(value).strip()) for value in values.unique().to_pylist() if value is not None}

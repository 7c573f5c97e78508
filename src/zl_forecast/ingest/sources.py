"""The registry of sources: seeds/sources.csv and seeds/source_series.csv."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

import pandas as pd

from zl_forecast.errors import ZlForecastError
from zl_forecast.paths import seed


class SourceError(ZlForecastError):
    """A source, or one series or symbol of it, cannot be landed; what was landed before is unchanged.

    Parameters
    ----------
    problem : str
        What was found, without a full stop. It never holds a key.
    remedy : str
        What to do; full sentences.
    status : int, optional
        HTTP status of the publisher's refusal; 404 may mean that there is nothing yet.
    """

    def __init__(self, problem: str, remedy: str, status: int | None = None):
        self.problem, self.remedy, self.status = problem, remedy, status
        super().__init__(f"{problem}. {remedy}")


@dataclass(frozen=True)
class Source:
    """One row of seeds/sources.csv; its documentation is in seeds/sources.yml."""

    source: str
    rank: int
    publisher: str
    tables: tuple[str, ...]
    key: str
    key_variable: str
    min_seconds_between_requests: float
    max_seconds: float
    schedule: str
    documentation: str


def load_sources() -> dict[str, Source]:
    """Read seeds/sources.csv.

    Returns
    -------
    dict[str, Source]
        By name, in the order of the file, which is the order in which sources are read.

    Examples
    --------
    >>> load_sources()["fred"].key
    'optional'
    """
    rows = pd.read_csv(seed("sources"), keep_default_na=False)
    return {
        row["source"]: Source(**(row | {"tables": tuple(row["tables"].split())})) for row in rows.to_dict("records")
    }


def load_series(source: str) -> pd.DataFrame:
    """Read the series of one source.

    Parameters
    ----------
    source : str
        As in seeds/sources.csv.

    Returns
    -------
    DataFrame
        Rows of seeds/source_series.csv, indexed by series_id; an empty text where a rule has no part.
    """
    rows = _read_series(seed("source_series"))
    return rows[rows["source"] == source].set_index("series_id")


def load_delays(source: str) -> dict[date, date]:
    """Read the known late releases of one source.

    Parameters
    ----------
    source : str
        As in seeds/sources.csv.

    Returns
    -------
    dict[date, date]
        available_on by obs_date.
    """
    return _read_delays(seed("publication_delays")).get(source, {})


# `zl status` asks for both once per source or series
@cache
def _read_series(file: Path) -> pd.DataFrame:
    return pd.read_csv(file, keep_default_na=False, dtype={"publisher_code": str})


@cache
def _read_delays(file: Path) -> dict[str, dict[date, date]]:
    rows = pd.read_csv(file, parse_dates=["obs_date", "available_on"])
    return {
        str(source): dict(zip(own["obs_date"].dt.date, own["available_on"].dt.date, strict=True))
        for source, own in rows.groupby("source")
    }

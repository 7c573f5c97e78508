"""Daily trade policy uncertainty of Baker, Bloom and Davis, from counts of words in American newspapers.

The file of https://www.policyuncertainty.com/trade_uncertainty.html has one line per calendar day since 1985. The archive of
newspapers fills for weeks, so that recent values are revised. How soon a day is published is not confirmed on a live answer.
"""

import csv
import io
from collections.abc import Iterator

import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.sources import SourceError

FILE = "https://www.policyuncertainty.com/media/All_Daily_TPU_Data.csv"
DATE = ("year", "month", "day")


def pull(request: Request) -> Iterator[Observations]:
    """Read the file.

    Parameters
    ----------
    request : Request
        Its series have the name of their column as publisher_code.

    Yields
    ------
    Observations
        Index; 100 is the mean of 1985 to 2010, and 0 a day without such an article.
    """
    response = request.client.get(FILE, content="csv", name="All_Daily_TPU_Data.csv")
    for series_id, column in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            values = parse_days(response.text(), column)
            yield Observations(str(series_id), values, response.fetched_at, response.published_at)


def parse_days(text: str, column: str) -> pd.Series:
    """Parse the file: day, month, year and the index.

    Parameters
    ----------
    text : str
        The file.
    column : str
        Name of the index's column.

    Returns
    -------
    Series of float
        By day; NaN is no value.

    Raises
    ------
    SourceError
        A column is missing, a line is cut, or a value cannot be read.

    Examples
    --------
    >>> parse_days("day,month,year,daily_tpu_index\\n31,12,2024,94.5\\n", "daily_tpu_index").to_dict()
    {Timestamp('2024-12-31 00:00:00'): 94.5}
    """
    lines = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    if missing := [name for name in (*DATE, column) if name not in (lines.fieldnames or [])]:
        raise SourceError(
            f"the header of All_Daily_TPU_Data.csv lacks {', '.join(missing)}", "The format may have changed."
        )
    rows = list(lines)
    if any(None in row.values() for row in rows):
        raise SourceError("All_Daily_TPU_Data.csv is cut: a line is shorter than the header", "Try again later.")
    rows = [row for row in rows if row[column].strip()]
    with parsing("a date or value of All_Daily_TPU_Data.csv", "The format may have changed."):
        days = pd.to_datetime(pd.DataFrame(rows, columns=list(DATE)).astype(int))
        return pd.Series([float(row[column]) for row in rows], pd.DatetimeIndex(days).as_unit("us"), dtype=float)

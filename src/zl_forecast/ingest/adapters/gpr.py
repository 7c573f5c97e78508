"""Daily geopolitical risk of Caldara and Iacoviello, from counts of words in ten newspapers.

https://www.matteoiacoviello.com/gpr.htm is updated on Mondays. The file is a workbook of the old form (xls) with the columns DAY
(20260808), N10D, GPRD, GPRD_ACT, GPRD_THREAT, date and averages. The hour of the update is not confirmed on a live answer.
"""

import io
from collections.abc import Iterator

import pandas as pd
import xlrd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.sources import SourceError

FILE = "https://www.matteoiacoviello.com/gpr_files/data_gpr_daily_recent.xls"
DAY = "DAY"


def pull(request: Request) -> Iterator[Observations]:
    """Read the workbook.

    Parameters
    ----------
    request : Request
        Its series have the name of their column as publisher_code.

    Yields
    ------
    Observations
        Index; 100 is the mean of 1985 to 2019.
    """
    response = request.client.get(FILE, content="xls", name="data_gpr_daily_recent.xls")
    for series_id, column in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            values = parse_days(response.body, column)
            yield Observations(str(series_id), values, response.fetched_at, response.published_at)


def parse_days(body: bytes, column: str) -> pd.Series:
    """Parse the workbook: its first sheet has one row per day below the names of the columns.

    Parameters
    ----------
    body : bytes
        The xls file.
    column : str
        Name of the index's column.

    Returns
    -------
    Series of float
        By day; NaN is no value.

    Raises
    ------
    SourceError
        It is no such workbook, a column is missing, or a value cannot be read.
    """
    try:
        sheet = xlrd.open_workbook(file_contents=body, logfile=io.StringIO()).sheet_by_index(0)
        rows = [sheet.row_values(number) for number in range(sheet.nrows)]
    except Exception as error:  # xlrd has no error of its own for each way in which a file may be cut
        raise SourceError(
            f"data_gpr_daily_recent.xls is cut or no xls workbook: {str(error)[:100]}",
            "Try again later; if it stays, the format has changed.",
        ) from None
    header = [str(name).strip() for name in rows[0]] if rows else []
    if missing := [name for name in (DAY, column) if name not in header]:
        raise SourceError(
            f"the header of data_gpr_daily_recent.xls lacks {', '.join(missing)}", "The format may have changed."
        )
    day, value = header.index(DAY), header.index(column)
    rows = [row for row in rows[1:] if row[day] != "" and row[value] != ""]
    with parsing("a date or value of data_gpr_daily_recent.xls", "The format may have changed."):
        days = pd.to_datetime([str(int(row[day])) for row in rows], format="%Y%m%d")
        return pd.Series([float(row[value]) for row in rows], pd.DatetimeIndex(days).as_unit("us"), dtype=float)

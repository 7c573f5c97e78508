"""Cboe: daily closes of the VIX, from the file of the whole history.

The file is linked at https://www.cboe.com/tradable_products/vix/vix_historical_data/. FRED's VIXCLS is the same number; this
source is the fallback for it (see `zl_forecast.ingest.landing_files`). At what time the file has the close of a day is not
confirmed on a live answer, so a close counts from the next business day, as FRED's does.
"""

import csv
import io
from collections.abc import Iterator

import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.sources import SourceError

HISTORY = "https://cdn.cboe.com/api/global/us_indices/daily_prices/{code}_History.csv"


def pull(request: Request) -> Iterator[Observations]:
    """Read the closes of all indices, one file per index.

    Parameters
    ----------
    request : Request
        Its series have Cboe's symbols as publisher_code.

    Yields
    ------
    Observations
        Index points.
    """
    for series_id, code in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            response = request.client.get(HISTORY.format(code=code), content="csv", name=f"{code}_History.csv")
            closes = parse_history(response.text())
            yield Observations(str(series_id), closes, response.fetched_at)


def parse_history(text: str) -> pd.Series:
    """Parse a file of an index's history.

    Parameters
    ----------
    text : str
        Header DATE,OPEN,HIGH,LOW,CLOSE; dates as MM/DD/YYYY, oldest first.

    Returns
    -------
    Series of float
        Close by day, in the order of the file.

    Raises
    ------
    SourceError
        The header has changed, the text is cut, or a value cannot be read or is not positive.

    Examples
    --------
    >>> parse_history("DATE,OPEN,HIGH,LOW,CLOSE\\n08/25/2023,17.21,17.36,15.45,15.68\\n").tolist()
    [15.68]
    """
    rows = [row for row in csv.reader(io.StringIO(text)) if row]
    header = [name.strip().upper() for name in rows[0]]
    if missing := {"DATE", "CLOSE"} - set(header):
        raise SourceError(f"the file's header lacks {', '.join(sorted(missing))}", "The format may have changed.")
    if not text.endswith("\n") or any(len(row) != len(header) for row in rows[1:]):
        raise SourceError("the file is cut: a line is incomplete", "Try again later.")
    day, close = header.index("DATE"), header.index("CLOSE")
    with parsing("a date or close"):
        days = pd.to_datetime([row[day].strip() for row in rows[1:]], format="%m/%d/%Y").as_unit("us")
        closes = pd.Series([float(row[close]) for row in rows[1:]], index=days, dtype=float)
    if not (closes > 0).all():
        raise SourceError("a close is not positive", "The response is faulty: try again later.")
    return closes

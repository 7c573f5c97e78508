"""European Central Bank: reference rates of the euro, published at about 16:00 CET for the same day.

The data API (https://data.ecb.europa.eu/help/api/data) sends the days that are asked for; if it fails, the file of the
whole history does (https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip).
"""

import csv
import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.sources import SourceError

API = "https://data-api.ecb.europa.eu/service/data/EXR"
HISTORY = "https://www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
MISSING = ("", "N/A", "NaN")


def pull(request: Request) -> Iterator[Observations]:
    """Read the reference rates of all currencies in one request.

    Parameters
    ----------
    request : Request
        Its series have currency codes as publisher_code.

    Yields
    ------
    Observations
        Units of the currency per euro.
    """
    currencies = request.series["publisher_code"]
    start = min(request.window_start(series_id) for series_id in currencies.index)
    try:
        address = f"{API}/D.{'+'.join(currencies)}.EUR.SP00.A"
        query = {"startPeriod": start.isoformat(), "format": "csvdata", "detail": "dataonly"}
        response = request.client.get(address, query, content="csv", name="reference rates")
        rates = parse_api(response.text())
    except SourceError as error:
        request.progress(f"{error} Reading the file of the whole history")
        response = request.client.get(HISTORY, content="zip", name="eurofxref-hist.zip")
        rates = parse_history(response.body)
        request.notes.append(f"the whole history was read, since the data API failed ({error.problem})")
    for series_id, currency in currencies.items():
        with request.isolated(str(series_id)):
            if currency not in rates:
                raise SourceError(
                    f"{series_id}: the ECB sent no rate of {currency}", "It may have ended: see the ECB's page."
                )
            yield Observations(str(series_id), rates[currency], response.fetched_at)


def parse_api(text: str) -> pd.DataFrame:
    """Parse the data API's csvdata.

    Parameters
    ----------
    text : str
        One line per currency and day.

    Returns
    -------
    DataFrame of float
        One column per currency, by day.

    Raises
    ------
    SourceError
        A column is missing, or a value cannot be read.

    Examples
    --------
    >>> text = "KEY,CURRENCY,TIME_PERIOD,OBS_VALUE\\nEXR.D.USD.EUR.SP00.A,USD,2026-09-03,1.1615\\n"
    >>> parse_api(text)["USD"].tolist()
    [1.1615]
    """
    lines = csv.DictReader(io.StringIO(text))
    missing = {"CURRENCY", "TIME_PERIOD", "OBS_VALUE"} - set(lines.fieldnames or [])
    if missing:
        raise SourceError(f"the data API's header lacks {', '.join(sorted(missing))}", "The format may have changed.")
    rows = [(line["TIME_PERIOD"], line["CURRENCY"], line["OBS_VALUE"]) for line in lines]
    if not text.endswith("\n") or any(None in row for row in rows):
        raise SourceError("the data API's answer is cut", "Try again later.")
    return _table(pd.DataFrame(rows, columns=["day", "currency", "rate"]))


def parse_history(body: bytes) -> pd.DataFrame:
    """Parse eurofxref-hist.zip: newest day first, N/A for no rate, a comma at the end of each line.

    Parameters
    ----------
    body : bytes
        The zip file.

    Returns
    -------
    DataFrame of float
        One column per currency, by day.

    Raises
    ------
    SourceError
        The archive holds no such table, or a value cannot be read.
    """
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        name = next((name for name in archive.namelist() if name.endswith(".csv")), None)
        text = archive.read(name).decode() if name else ""
    rows = [[value.strip() for value in row] for row in csv.reader(io.StringIO(text)) if row]
    if not rows or rows[0][0] != "Date":
        raise SourceError("eurofxref-hist.zip has no table that begins with Date", "The format may have changed.")
    header = [name for name in rows[0][1:] if name]
    if any(len(row) < len(header) + 1 for row in rows):
        raise SourceError("eurofxref-hist.csv is cut: a line has fewer values than the header", "Try again later.")
    cells = [(row[0], name, row[1 + column]) for row in rows[1:] for column, name in enumerate(header)]
    return _table(pd.DataFrame(cells, columns=["day", "currency", "rate"]))


def _table(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows[~rows["rate"].isin(MISSING)]
    with parsing("a date or rate"):  # nor two rates of one currency and day
        rows = rows.assign(
            day=pd.to_datetime(rows["day"], format="%Y-%m-%d").astype("datetime64[us]"), rate=rows["rate"].astype(float)
        )
        table = rows.pivot(index="day", columns="currency", values="rate")
    if not (np.nan_to_num(table.to_numpy(), nan=1.0) > 0).all():
        raise SourceError("a reference rate is not positive", "The response is faulty: try again later.")
    return table

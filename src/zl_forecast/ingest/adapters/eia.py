"""Energy Information Administration: spot prices of energy, weekly stocks, and soybean oil used for biofuel.

Without a key: the workbooks that are linked beside each series of https://www.eia.gov/dnav/pet/, which name their release date.
With a key: the API, https://www.eia.gov/opendata/documentation.php. Its route `seriesid` is not used, since it has ignored
`start`. Both have the newest value of each observation and no vintages.

Daily prices up to a Monday, and stocks of the week that ends on Friday, are released on Wednesday at 10:30 Eastern. The
release of soybean oil (Monthly Biofuels Capacity and Feedstocks Update) is at the end of the second month after its own; it
is the total of biodiesel and renewable diesel, and comes from Form EIA-819, before 2021 from Form EIA-22M, which had
biodiesel only. Its series code as a facet of the API is not confirmed on a live answer.
"""

import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import numpy as np
import pandas as pd
import xlrd

from zl_forecast.ingest.adapters.base import CHANGED, Observations, Request, parsing
from zl_forecast.ingest.publication import CHICAGO, CUT_OFF_HOUR
from zl_forecast.ingest.sources import SourceError

API = "https://api.eia.gov/v2/{route}/data/"
WORKBOOK = "https://www.eia.gov/dnav/{folder}/hist_xls/{code}{letter}.xls"
FOLDERS = {"petroleum": "pet", "natural-gas": "ng"}
SHARED_WORKBOOKS = {"M_EPOOBDSO_YIFBP_NUS_MMLB": "https://www.eia.gov/dnav/pet/xls/PET_PNP_FEEDBIOFUEL_DCU_NUS_M.xls"}
PAGE_ROWS = 5000  # the most that EIA sends
MISSING = ("", "-", "--", "NA", "W")  # W: withheld, to avoid disclosure of a company's data
FORMATS = {"daily": "%Y-%m-%d", "weekly": "%Y-%m-%d", "monthly": "%Y-%m"}


def pull(request: Request) -> Iterator[Observations]:
    """Read all series, one by one.

    Parameters
    ----------
    request : Request
        Its series have the API's route and series as publisher_code: `petroleum/pri/spt/RWTC`.

    Yields
    ------
    Observations
        USD/bbl, USD/MMBtu, thousand bbl or million lb; a month by its first day.
    """
    read = _read_api if request.key else _read_workbook
    for series_id, row in request.series.iterrows():
        with request.isolated(str(series_id)):
            route, _, code = row["publisher_code"].rpartition("/")
            yield read(request, str(series_id), route, code, row["frequency"])


def _read_workbook(request: Request, series_id: str, route: str, code: str, frequency: str) -> Observations:
    address = WORKBOOK.format(folder=FOLDERS[route.split("/")[0]], code=code, letter=frequency[0])
    response = request.client.get(SHARED_WORKBOOKS.get(code, address), content="xls", name=series_id)
    values, released_on = parse_workbook(response.body, code)
    if frequency == "monthly":  # dated in the middle of the month
        values.index = pd.DatetimeIndex(values.index).to_period("M").to_timestamp()
    released_at = datetime.combine(released_on, time(CUT_OFF_HOUR), CHICAGO) if released_on else response.published_at
    if released_at and response.published_at and timedelta(0) < response.published_at - released_at < timedelta(days=1):
        released_at = response.published_at  # uploaded in the evening, after the cut-off
    return Observations(series_id, values, response.fetched_at, released_at)


def parse_workbook(body: bytes, code: str) -> tuple[pd.Series, date | None]:
    """Parse a workbook: a sheet Contents, then sheets of data with series codes in their second row.

    Parameters
    ----------
    body : bytes
        The file, in the format of Excel 97.
    code : str
        EIA's code of the series.

    Returns
    -------
    values : Series of float
        By day, oldest first; NaN is no value.
    released_on : date or None
        The release date that the sheet Contents names.

    Raises
    ------
    SourceError
        The file is damaged, has no column of the series, or a date or value cannot be read.
    """
    try:
        book = xlrd.open_workbook(file_contents=body, logfile=io.StringIO())
        sheets = {sheet.name: [sheet.row_values(row) for row in range(sheet.nrows)] for sheet in book.sheets()}
    except Exception as error:  # of many types, whatever xlrd stumbles over
        raise SourceError(
            f"the workbook is cut or damaged ({type(error).__name__})", "Try again later; see the raw response."
        ) from None
    found = [rows for rows in sheets.values() if len(rows) > 2 and rows[1][:1] == ["Sourcekey"] and code in rows[1]]
    if not found:
        raise SourceError(f"the workbook has no column of {code}", CHANGED)
    rows, column = found[0][3:], found[0][1].index(code)
    rows = [row for row in rows if row[0] != ""]
    try:
        days = pd.DatetimeIndex([xlrd.xldate_as_datetime(row[0], book.datemode) for row in rows]).as_unit("us")
    except (ValueError, TypeError, OverflowError) as error:
        raise SourceError(f"a date of the workbook cannot be read: {error}", "See the raw response.") from None
    labels = {row[1]: row[2] for row in sheets.get("Contents", []) if len(row) > 2}
    try:
        released_on = datetime.strptime(labels["Release Date:"], "%m/%d/%Y").date()
    except (KeyError, ValueError, TypeError):
        released_on = None
    return pd.Series(_numbers([row[column] for row in rows]), index=days, dtype=float), released_on


def _read_api(request: Request, series_id: str, route: str, code: str, frequency: str) -> Observations:
    query = {
        "api_key": request.key or "",
        "frequency": frequency,
        "data[0]": "value",
        "facets[series][]": code,
        "start": request.window_start(series_id).strftime(FORMATS[frequency]),
        "sort[0][column]": "period",
        "sort[0][direction]": "asc",
        "length": str(PAGE_ROWS),
    }
    found: list[dict] = []
    while True:  # until an empty page: `total` has been wrong, and a server may send fewer rows than it was asked for
        query["offset"] = str(len(found))
        response = request.client.get(API.format(route=route), query, content="json", name=series_id)
        rows, total, warnings = parse_page(response.json(), code)
        request.notes += [f"{series_id}: EIA warns: {warning}" for warning in warnings]
        if rows and rows[0] in found:
            raise SourceError(f"{series_id}: the API sent the same page twice", "Try again later.")
        found += rows
        if not rows:
            break
    if len(found) < total:
        raise SourceError(f"{series_id}: the API sent {len(found)} of {total} rows", "Try again later.")
    with parsing(f"{series_id}: a period", "See the raw response.", (ValueError, TypeError)):
        days = pd.to_datetime([row["period"] for row in found], format=FORMATS[frequency]).as_unit("us")
    values = pd.Series(_numbers([row["value"] for row in found]), index=days, dtype=float)
    return Observations(series_id, values, response.fetched_at, response.published_at)


def parse_page(answer: object, code: str) -> tuple[list[dict], int, list[str]]:
    """Parse a page of the API.

    Parameters
    ----------
    answer : object
        With an object `response`, which has `total` and the list `data`.
    code : str
        EIA's code of the series, which all rows must have.

    Returns
    -------
    rows : list of dict
        With period and value.
    total : int
        Number of rows of all pages.
    warnings : list of str
        But the one that there are further pages.

    Raises
    ------
    SourceError
        The answer is an error, a field is missing, or a row is of another series.

    Examples
    --------
    >>> row = {"period": "2024-10-04", "series": "WCESTUS1", "value": "422741"}
    >>> parse_page({"response": {"total": "1", "data": [row]}}, "WCESTUS1")[1:]
    (1, [])
    """
    error = answer.get("error") if isinstance(answer, dict) else None
    if error:  # an object with a message, or a text; until 2025 also with the status 200
        text = error.get("message") if isinstance(error, dict) else error
        raise SourceError(f"the API answered: {str(text).rstrip('. ')[:200]}", "See EIA's documentation.")
    page = answer.get("response") if isinstance(answer, dict) else None
    if not isinstance(page, dict) or not isinstance(page.get("data"), list) or "total" not in page:
        raise SourceError("the API's answer has no response with data and total", "The format may have changed.")
    rows = page["data"]
    if missing := sorted({name for row in rows for name in ("period", "series", "value") if name not in row}):
        raise SourceError(f"the API's rows lack {', '.join(missing)}", "The format may have changed.")
    if others := {str(row["series"]) for row in rows} - {code}:
        raise SourceError(f"the API sent {', '.join(sorted(others))} instead of {code}", "See the raw response.")
    warnings = [
        str(warning.get("description", warning))
        for warning in (one if isinstance(one, dict) else {"description": one} for one in page.get("warnings") or ())
        if warning.get("warning") != "incomplete return"
    ]
    return rows, int(page["total"]), warnings


def _numbers(values: list) -> list[float]:
    """Return numbers or texts as numbers; raise an error that names the first one that is neither a number nor missing."""
    with parsing("a value"):
        return [np.nan if value is None or str(value).strip() in MISSING else float(value) for value in values]

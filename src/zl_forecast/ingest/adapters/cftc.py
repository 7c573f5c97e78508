"""CFTC: commitments of traders, legacy report, futures only.

Positions of Tuesday (Monday if Tuesday is a holiday), released on Friday at 15:30 Eastern. The interface of
https://publicreporting.cftc.gov/ (Socrata) is read; if it fails, the files of
https://www.cftc.gov/MarketReports/CommitmentsofTraders/HistoricalCompressed/index.htm and the file of the current week.
Markets are found by their contract code, since their names change.
"""

import csv
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import date, datetime

import pandas as pd

from zl_forecast.ingest.adapters.base import CHANGED, Observations, Request, parsing
from zl_forecast.ingest.client import Response
from zl_forecast.ingest.sources import SourceError

API = "https://publicreporting.cftc.gov/resource/6dca-aqww.json"
YEAR = "https://www.cftc.gov/files/dea/history/deacot{year}.zip"
WEEK = "https://www.cftc.gov/dea/newcot/deafut.txt"
PAGE_ROWS = 50_000
# name here, in the interface, in the header of the files
COLUMNS = {
    "code": ("cftc_contract_market_code", "CFTC Contract Market Code"),
    "day": ("report_date_as_yyyy_mm_dd", "As of Date in Form YYYY-MM-DD"),
    "open_interest": ("open_interest_all", "Open Interest (All)"),
    "long": ("noncomm_positions_long_all", "Noncommercial Positions-Long (All)"),
    "short": ("noncomm_positions_short_all", "Noncommercial Positions-Short (All)"),
    "reportable_long": ("tot_rept_positions_long_all", "Total Reportable Positions-Long (All)"),
    "other_long": ("nonrept_positions_long_all", "Nonreportable Positions-Long (All)"),
}
FILE_POSITIONS = {  # of the file of the current week, which has no header
    "day": 2,
    "code": 3,
    "open_interest": 7,
    "long": 8,
    "short": 9,
    "reportable_long": 13,
    "other_long": 15,
}
MEASURES = {"NONCOMM_NET": lambda rows: rows["long"] - rows["short"], "OI": lambda rows: rows["open_interest"]}


def pull(request: Request) -> Iterator[Observations]:
    """Read net positions and open interest of all markets.

    Parameters
    ----------
    request : Request
        Its series end with a key of `MEASURES` and have contract codes as publisher_code.

    Yields
    ------
    Observations
        Contracts.
    """
    start = min(request.window_start(series_id) for series_id in request.series.index)
    codes = sorted(set(request.series["publisher_code"]))
    try:
        reports, fetched_at, published_at = _read_interface(request, codes, start)
    except SourceError as error:
        request.progress(f"{error} Reading the yearly files")
        reports, fetched_at, published_at = _read_files(request, codes, start)
        request.notes.append(f"the yearly files were read, since the interface failed ({error.problem})")
    reports = reports[reports["day"] >= pd.Timestamp(start)].drop_duplicates()
    for series_id, code in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            own = reports[reports["code"] == code]
            if own.empty:
                raise SourceError(
                    f"{series_id}: no report of contract {code} since {start}",
                    "The market may have another code: see the CFTC's page.",
                )
            measure = next(name for name in MEASURES if str(series_id).endswith(name))
            values = pd.Series(MEASURES[measure](own).to_numpy(), index=pd.DatetimeIndex(own["day"]))
            yield Observations(str(series_id), values, fetched_at, published_at)


def _read_interface(request: Request, codes: list[str], start: date) -> tuple[pd.DataFrame, datetime, datetime | None]:
    listed = ", ".join(f"'{code}'" for code in codes)
    query = {
        "$select": ", ".join([*(name for name, _ in COLUMNS.values()), "futonly_or_combined"]),
        "$where": f"cftc_contract_market_code in ({listed}) and report_date_as_yyyy_mm_dd >= '{start}T00:00:00.000'",
        "$order": "report_date_as_yyyy_mm_dd, cftc_contract_market_code",
        "$limit": str(PAGE_ROWS),
    }
    found: list[dict] = []
    published_at = None
    while True:  # until an empty page: a server may send fewer rows than the limit that was asked for
        query["$offset"] = str(len(found))
        response = request.client.get(API, query, content="json", name="legacy report, futures only")
        page = response.json()
        if not isinstance(page, list):
            raise SourceError("the interface's answer is not a list", CHANGED)
        if page and page[0] in found:
            raise SourceError("the interface sent the same page twice", "Try again later.")
        found += page
        published_at = published_at or response.published_at
        if not page:
            return parse_interface(found), response.fetched_at, published_at


def parse_interface(rows: list[dict]) -> pd.DataFrame:
    """Parse rows of the Socrata interface, in which all numbers are text.

    Parameters
    ----------
    rows : list of dict
        One per market and report date.

    Returns
    -------
    DataFrame
        Columns of `COLUMNS`; day as datetime64, numbers as float.

    Raises
    ------
    SourceError
        A field is missing or cannot be read, or the rows are of the combined report.
    """
    if not rows:
        raise SourceError("the interface sent no rows", "Try again later.")
    missing = sorted({field for field, _ in COLUMNS.values()} - set(rows[0]))
    if missing:
        raise SourceError(f"the interface's rows lack {', '.join(missing)}", "The format may have changed.")
    combined = {row.get("futonly_or_combined", "FutOnly") for row in rows} - {"FutOnly"}
    if combined:
        raise SourceError(f"the interface sent rows of type {', '.join(sorted(combined))}", "The data set has changed.")
    return _reports({name: [row.get(field, "") for row in rows] for name, (field, _) in COLUMNS.items()})


def _read_files(request: Request, codes: list[str], start: date) -> tuple[pd.DataFrame, datetime, datetime | None]:
    this_year = datetime.now().year
    parts = []
    newest: Response | None = None
    for year in range(start.year, this_year + 1):
        request.progress(f"legacy report of {year}")
        name = f"deacot{year}.zip"
        try:
            response = request.client.get(YEAR.format(year=year), content="zip", name=name)
        except SourceError as error:
            if year < this_year:
                raise
            request.notes.append(f"{error.problem}: in January the file of the new year is often missing")
            newest = None
            continue
        parts.append(parse_year(response.body, codes, name))
        newest = response
    try:
        week = request.client.get(WEEK, content="csv", name="deafut.txt")
        parts.append(parse_week(week.text(), codes))
        newest = week
    except SourceError as error:
        if newest is None:
            raise
        request.notes.append(f"the file of the current week was not read ({error.problem})")
    return pd.concat(parts), newest.fetched_at, newest.published_at


def parse_year(body: bytes, codes: list[str], name: str) -> pd.DataFrame:
    """Parse a yearly file of the legacy report.

    Parameters
    ----------
    body : bytes
        Zip file with one text: a header, then one line per market and report date.
    codes : list of str
        Contract codes to read.
    name : str
        For messages.

    Returns
    -------
    DataFrame
        As from `parse_interface`.

    Raises
    ------
    SourceError
        The header has changed, or a line cannot be read.
    """
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        text = archive.read(archive.namelist()[0]).decode("latin-1")
    lines = [[value.strip() for value in line] for line in csv.reader(io.StringIO(text)) if line]
    header = [re.sub(r"\s+", " ", column) for column in lines[0]] if lines else []
    missing = [column for _, column in COLUMNS.values() if column not in header]
    if missing:
        raise SourceError(f"{name}: its header lacks {', '.join(missing)}", "The format may have changed.")
    positions = {own: header.index(column) for own, (_, column) in COLUMNS.items()}
    return _file_reports(lines[1:], positions, codes, len(header))


def parse_week(text: str, codes: list[str]) -> pd.DataFrame:
    """Parse the file of the current week, which has the columns of the yearly file and no header.

    Parameters
    ----------
    text : str
        One line per market.
    codes : list of str
        Contract codes to read.

    Returns
    -------
    DataFrame
        As from `parse_interface`.

    Raises
    ------
    SourceError
        A line cannot be read.
    """
    lines = [[value.strip() for value in line] for line in csv.reader(io.StringIO(text)) if line]
    return _file_reports(lines, FILE_POSITIONS, codes, max(FILE_POSITIONS.values()) + 1)


def _file_reports(lines: list[list[str]], positions: dict[str, int], codes: list[str], n_columns: int) -> pd.DataFrame:
    own = [line for line in lines if len(line) > positions["code"] and line[positions["code"]] in codes]
    if any(len(line) < n_columns for line in own):
        raise SourceError("a line of the legacy report is cut", "Try again later.")
    return _reports({name: [line[position] for line in own] for name, position in positions.items()})


def _reports(columns: dict[str, list[str]]) -> pd.DataFrame:
    """Return reports in their types, after a check that the columns are those that they are taken for."""
    reports = pd.DataFrame(columns, dtype=str)
    reports["code"] = reports["code"].str.strip()
    with parsing("a date or number of the legacy report"):
        reports["day"] = pd.to_datetime(reports["day"].str[:10], format="%Y-%m-%d").astype("datetime64[us]")
        for name in reports.columns.difference(["code", "day"]):
            reports[name] = reports[name].astype(str).str.replace(",", "").astype(float)
    wrong = reports[(reports["reportable_long"] + reports["other_long"] - reports["open_interest"]).abs() > 1]
    if len(wrong):
        raise SourceError(
            f"{len(wrong)} reports whose long positions do not sum to open interest, first {wrong['code'].iloc[0]} of "
            f"{wrong['day'].iloc[0]:%Y-%m-%d}",
            "The columns may have changed: see the raw response.",
        )
    return reports

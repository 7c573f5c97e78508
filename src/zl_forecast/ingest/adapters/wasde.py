"""USDA: the WASDE report (World Agricultural Supply and Demand Estimates), 12:00 Eastern, 08:30 before 2013.

ESMIS, the archive of the National Agricultural Library, lists all releases and their files
(https://esmis.nal.usda.gov/api-documentation); since July 2010 one of the files is the report as XML. The CSV files of
www.usda.gov have the same tables, but that server answers browsers only. An observation is dated by the release day of
its report, and has the estimate for the newest marketing year of the report.

Not confirmed on a live answer: the format is that of reports from 2011 to 2026 in public repositories.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from xml.etree import ElementTree

import pandas as pd

from zl_forecast.ingest.adapters.base import CHANGED, Request, Vintages
from zl_forecast.ingest.client import PublisherUnreachable
from zl_forecast.ingest.publication import trade_date
from zl_forecast.ingest.sources import SourceError
from zl_forecast.ingest.vintages import ONE_DAY

CATALOGUE = "https://esmis.nal.usda.gov/api/v1/release/findByIdentifier/wasde"
FIRST_REPORT = date(2010, 7, 9)  # the first one with an XML file
N_READ_AGAIN = 2  # newest reports that every pull reads, to find corrections
MAX_DAYS_TO_REPOST = 7  # of a corrected report whose description does not say when it was posted
MISSING = ("", "NA", "N/A", "-", "--")
LABEL = re.compile(r"(attribute|region|region_header|market_year|forecast_month|cell_value)\d*")
CORRECTED = re.compile(r"\bre-?(?:post|issu|releas|publish)|\bcorrect|\berrat", re.IGNORECASE)
FOOTNOTE = re.compile(r"\d+/|/\d+")


@dataclass(frozen=True, order=True)
class Edition:
    """One XML file of a report: the report itself, or a corrected one.

    Attributes
    ----------
    available_on : date
        When it was posted.
    version : int
        1, or the number in a file name such as wasde0526v2.xml.
    url : str
        Of the file.
    released_on : date
        Of the report.
    """

    available_on: date
    version: int
    url: str
    released_on: date


@dataclass(frozen=True)
class _Reading:
    edition: Edition
    values: dict[str, float | None]
    fetched_at: datetime


def pull(request: Request) -> Iterator[Vintages]:
    """Read the reports that are not on file, newest first, and the newest two again.

    Parameters
    ----------
    request : Request
        Its series have a publisher_code for `parse_report`.

    Yields
    ------
    Vintages
        By release day. A value that a corrected report changes is a further vintage.
    """
    codes = request.series["publisher_code"]
    held = request.held["series"]
    on_file = {name: set(held.loc[held["series_id"] == name, "obs_date"].dt.date) for name in codes.index}
    first = max(request.history_from, FIRST_REPORT)
    known = set.union(*on_file.values())
    # an interrupted first load has the newest reports only
    is_loaded = not request.is_full and all(on_file.values()) and min(known) <= first + timedelta(days=31)
    if not is_loaded:
        known = set() if request.is_full else set.intersection(*on_file.values())
    reports = _list_reports(request, max(known) if is_loaded else None)
    days = [day for day in sorted(reports, reverse=True) if day >= first]
    if not days:
        raise SourceError(f"the list of releases has no report in XML since {first}", "See the raw response.")
    readings: dict[date, list[_Reading]] = {}
    try:
        for number, day in enumerate(days):
            if number == N_READ_AGAIN and not readings:
                break  # it is of no use to ask for 200 reports of an unknown format
            if number < N_READ_AGAIN or day not in known:
                with request.isolated(_name(day)):
                    readings[day] = _read_report(request, reports[day], set(codes))
                if request.n_unreachable and readings and not is_loaded:
                    break  # the next run goes on here: it would not find a gap between older reports
    except SourceError:  # it is recorded; what has been read is landed all the same
        if not readings:
            raise
    for series_id, code in codes.items():
        with request.isolated(str(series_id)):
            own = held[held["series_id"] == series_id]
            rows = pd.concat([own, _vintages(own, code, readings)])
            if rows.empty:
                raise SourceError(f"{series_id}: no report has a row {code!r}", "See the raw response.")
            yield Vintages(str(series_id), rows, max(_fetched_at(readings), default=datetime.now(UTC)))
            _check_rows(request, str(series_id), code, readings)


def _list_reports(request: Request, until: date | None) -> dict[date, list[Edition]]:
    """Return the files of each report by release day; of all reports, or of those since `until`."""
    found: list[Edition] = []
    page, n_pages, newest = 0, 1, ""
    while page < n_pages:
        answer = request.client.get(CATALOGUE, {"page": str(page)}, content="json", name="list of releases").json()
        editions, n_pages = parse_releases(answer)
        found += editions
        releases = answer["results"] if isinstance(answer, dict) else []
        past = {release["release_datetime"][:10] for release in releases}
        newest = max([newest, *(day for day in past if day < f"{date.today()}")])
        days = [edition.released_on for edition in found]
        if until and days and min(days) <= until <= max(days):  # newest first
            break
        page += 1
    # a release of today or later may not have its file yet
    if found and max(f"{edition.released_on:%Y-%m}" for edition in found) < newest[:7]:
        request.failures[_name(date.fromisoformat(newest))] = (
            "the list of releases has no XML file of it. See the raw response."
        )
    reports: dict[str, list[Edition]] = {}
    for edition in sorted(set(found)):  # there is one report per month; a second release of it is a copy
        reports.setdefault(f"{edition.released_on:%Y-%m}", []).append(edition)
    return {min(edition.released_on for edition in editions): editions for editions in reports.values()}


def parse_releases(answer: object) -> tuple[list[Edition], int]:
    """Parse one page of ESMIS' list of releases.

    Parameters
    ----------
    answer : object
        Parsed JSON: `results` with files and release_datetime, and `pager` with total_pages.

    Returns
    -------
    list of Edition
        One per XML file.
    int
        Number of pages.

    Raises
    ------
    SourceError
        A field is missing or cannot be read.

    Examples
    --------
    >>> release = {"release_datetime": "2026-06-11T12:00:00+0000", "files": ["https://host/wasde0626.xml"]}
    >>> (edition,), _ = parse_releases({"results": [release], "pager": {"total_pages": 1}})
    >>> edition.available_on.isoformat()
    '2026-06-11'
    """
    editions = []
    try:
        if not isinstance(answer, dict):
            raise TypeError("it is no object")
        for release in answer["results"]:
            # the time is Eastern, although it is written as UTC
            day = date.fromisoformat(release["release_datetime"][:10])
            description = release.get("description") or ""
            for url in release["files"] or ():
                if match := re.search(r"(?:v(\d+))?\.xml$", url, flags=re.I):
                    version = int(match[1] or 1)
                    is_corrected = version > 1 or bool(CORRECTED.search(description))
                    posted = _reposted_on(description, day) if is_corrected else day
                    editions.append(Edition(posted, version, url, day))
        return editions, int(answer["pager"]["total_pages"])
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(f"the list of releases cannot be read: {type(error).__name__} {error}", CHANGED) from None


def _reposted_on(description: str, released_on: date) -> date:
    """Return when a corrected report was posted: "On May 13, 2026, the May ... report was reposted"."""
    for text in re.findall(r"[A-Z][a-z]+ \d{1,2}, \d{4}", description):
        day = pd.to_datetime(text, format="%B %d, %Y", errors="coerce")
        if not pd.isna(day) and day.date() > released_on:
            return day.date()
    return released_on + timedelta(days=MAX_DAYS_TO_REPOST)


def _name(day: date) -> str:
    return f"report of {day}"


def _read_report(request: Request, editions: list[Edition], codes: set[str]) -> list[_Reading]:
    """Return what the editions of one report say, in the order of their days."""
    readings, failures = [], []
    name = _name(min(edition.released_on for edition in editions))
    for edition in editions:
        try:
            response = request.client.get(edition.url, content="xml", name=name)
            month, values = parse_report(response.body, codes)
            if month != f"{edition.released_on:%B %Y}":
                raise SourceError(f"{name}: {edition.url} is the report of {month}", "See the publisher's page.")
            readings.append(_Reading(edition, values, response.fetched_at))
        except PublisherUnreachable:
            raise
        except SourceError as error:  # some lists name files that are gone, or the same file for several reports
            failures.append(error)
    if not readings:
        raise failures[-1]
    request.notes += [error.problem for error in failures if error.status != 404]
    return readings


def parse_report(body: bytes, codes: Iterable[str]) -> tuple[str, dict[str, float | None]]:
    """Parse a report in XML.

    Parameters
    ----------
    body : bytes
        One `Report` element per table, with the labels of a value in the attributes of the elements around it.
    codes : iterable of str
        Values to read: `TABLE / PART / ROW`, where PART is a region, or the unit of a part of a table on the United
        States, and ROW may be several names: `A or B`.

    Returns
    -------
    str
        Month of the report, such as "June 2012".
    dict[str, float or None]
        By code, the estimate of this month for the newest marketing year; None if there is no such row or value.

    Raises
    ------
    SourceError
        It is no such report, a table is missing, or a value cannot be read.
    """
    try:
        root = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise SourceError(f"the report is cut, or not XML ({error})", "Try again later.") from None
    tables = {_plain(table.get("sub_report_title", "")): table for table in root.iter("Report")}
    month = next((table.get("Report_Month") for table in tables.values() if table.get("Report_Month")), None)
    if not month:
        raise SourceError("the document is not a WASDE report: it has no Report_Month", "See the raw response.")
    values: dict[str, float | None] = {}
    parts: dict[str, list[tuple[set[str], list[dict[str, str]]]]] = {}
    for code in codes:
        title, part, names = code.split(" / ")
        table = next((table for own, table in tables.items() if own.startswith(_plain(title))), None)
        if table is None:
            raise SourceError(f"the report of {month} has no table {title!r}", "It may have a new title.")
        rows = {_plain(name) for name in names.split(" or ")}
        if title not in parts:
            parts[title] = [(_units(matrix), list(_read_cells(matrix, {}))) for matrix in table]
        cells = [
            cell
            for units, own in parts[title]
            for cell in own
            if _plain(cell.get("attribute", "")) in rows and _plain(part) in (*units, _plain(cell.get("region", "")))
        ]
        values[code] = _newest_estimate(cells, month, code)
    return " ".join(month.split()), values


def _plain(text: str) -> str:
    """Return a label without footnotes, commas and case: titles and rows differ in these from report to report."""
    return " ".join(FOOTNOTE.sub(" ", text).replace(",", "").casefold().replace("u. s.", "u.s.").split())


def _units(matrix: ElementTree.Element) -> set[str]:
    """Return the units of a part of a table; a unit may be split over neighbouring cells."""
    pieces: dict[str, dict[str, None]] = {}
    for cell in matrix.iter("Cell"):
        for name, text in cell.attrib.items():
            if "unit_descr" in name:
                pieces.setdefault(name, {})[text.strip()] = None
    return {_plain(" ".join(own)) for own in pieces.values()}


def _read_cells(element: ElementTree.Element, labels: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """Yield the values below an element with their labels, whose names end with numbers that differ by table."""
    own = {match[1]: text for name, text in element.attrib.items() if (match := LABEL.fullmatch(name))}
    labels = {**labels, **own}
    if "cell_value" in own:
        yield labels
    for child in element:
        yield from _read_cells(child, labels)


def _newest_estimate(cells: list[dict[str, str]], month: str, code: str) -> float | None:
    """Return the value of the newest marketing year; of two months that are shown, that of the report."""
    by_year: dict[str, list[dict[str, str]]] = {}
    for cell in cells:
        year = re.match(r"\d{4}/\d\d", cell.get("market_year", cell.get("region_header", "")).strip())
        by_year.setdefault(year[0] if year else "", []).append(cell)
    newest = by_year[max(by_year)] if by_year else []
    texts = {
        cell["cell_value"].replace(",", "").strip(" *")
        for cell in newest
        if cell.get("forecast_month", "").strip()[:3] == month.strip()[:3]
    }
    texts -= set(MISSING)
    if not texts:
        return None
    try:
        (value,) = {float(text) for text in texts}
        return value
    except ValueError:
        raise SourceError(
            f"the report of {month} has the values {', '.join(sorted(texts))} for {code!r}",
            "The table may have changed: see the raw response.",
        ) from None


def _vintages(own: pd.DataFrame, code: str, readings: Mapping[date, list[_Reading]]) -> pd.DataFrame:
    """Return the vintages that reports add to the rows on file of one series."""
    newest = own.sort_values("available_on").drop_duplicates("obs_date", keep="last").set_index("obs_date")
    on_file = {day: (row.available_on, row.value) for day, row in zip(newest.index, newest.itertuples(), strict=True)}
    rows = []
    for day, found in readings.items():
        obs_date = pd.Timestamp(day)
        added = {}  # by day: of two editions of one day the later version counts
        for reading in found[-1:] if obs_date in on_file else found:
            value, seen = reading.values[code], pd.Timestamp(trade_date(reading.fetched_at))
            if value is None:
                continue
            if obs_date not in on_file:
                added[min(pd.Timestamp(reading.edition.available_on), seen)] = (value, "publisher")
            elif value != on_file[obs_date][1]:
                added[max(on_file[obs_date][0] + ONE_DAY, seen)] = (value, "capture")
        rows += [(obs_date, available_on, *vintage) for available_on, vintage in added.items()]
    return pd.DataFrame(rows, columns=["obs_date", "available_on", "value", "available_by"]).astype(
        {"obs_date": "datetime64[us]", "available_on": "datetime64[us]", "value": float}
    )


def _fetched_at(readings: Mapping[date, list[_Reading]]) -> list[datetime]:
    return [reading.fetched_at for found in readings.values() for reading in found]


def _check_rows(request: Request, series_id: str, code: str, readings: Mapping[date, list[_Reading]]) -> None:
    """Fail if the newest report has no such row, and note how many of the others have none."""
    without = sorted(day for day, found in readings.items() if found[-1].values[code] is None)
    if not without:
        return
    if without[-1] == max(readings):
        raise SourceError(
            f"{series_id}: the report of {without[-1]} has no row {code!r}",
            "It may have a new name: see the raw response, and publisher_code in seeds/source_series.csv.",
        )
    request.notes.append(f"{series_id}: {len(without)} reports from {without[0]} to {without[-1]} have no such row")

"""Federal Register: rules, notices and presidential documents on biofuel and tariffs, as policy events.

The API (https://www.federalregister.gov/developers/documentation/api/v1) needs no key. It is asked year by year, since
it counts to 10,000 only. Its search finds every document that mentions a term, so the title decides. A document is
available on its day of publication (it is printed in the morning); one that is found on public inspection, on the
day of its filing. The first row of a document stays: corrections and new effective dates are documents of their own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pandas as pd

from zl_forecast.errors import printable
from zl_forecast.ingest.adapters.base import CHANGED, OVERLAP_DAYS, Request, Rows
from zl_forecast.ingest.publication import trade_date
from zl_forecast.ingest.sources import SourceError
from zl_forecast.landing.tables import TABLES

HOST = "www.federalregister.gov"
DOCUMENTS = f"https://{HOST}/api/v1/documents.json"
INSPECTION = f"https://{HOST}/api/v1/public-inspection-documents/current.json"
FIELDS = ("document_number", "title", "type", "action", "publication_date", "effective_on", "correction_of")
PAGE_ROWS = 1000
MAX_COUNT = 10_000  # the API counts no further
MAX_YEARS_TO_EFFECT = 15  # a later effective date is a misprint
PRESIDENTIAL = "Presidential Document"
SEVERITY = {"Rule": 1.0, "Proposed Rule": 1.0, PRESIDENTIAL: 1.0}
OTHER_SEVERITY = 0.5  # notices
DETAIL_SEVERITY = 0.25  # corrections, and products that are excluded from a tariff
DETAIL = re.compile(r"\bcorrect|\bexclu", re.IGNORECASE)
PAPERWORK = re.compile(r"information collection|webinar|privacy act", re.IGNORECASE)


@dataclass(frozen=True)
class Query:
    """Documents that are events of one bucket.

    Attributes
    ----------
    bucket : str
        Bucket of the events.
    name : str
        For messages and the record of raw responses.
    conditions : dict[str, str]
        Conditions of the API, besides the period.
    agency : str
        Slug of the agency; empty for presidential documents.
    title : pattern
        Found in the titles of documents that matter.
    """

    bucket: str
    name: str
    conditions: dict[str, str]
    agency: str
    title: re.Pattern[str]

    def wants(self, title: str) -> bool:
        """Return whether a document of this title is an event.

        Parameters
        ----------
        title : str
            Title of a document that meets the conditions.

        Returns
        -------
        bool
            False as well for paperwork about forms, webinars and records.
        """
        return bool(self.title.search(title)) and not PAPERWORK.search(title)


EPA, USTR = "environmental-protection-agency", "trade-representative-office-of-united-states"
QUERIES = (
    Query(
        "biofuel",
        "Renewable Fuel Standard",
        {"conditions[agencies][]": EPA, "conditions[term]": '"Renewable Fuel Standard"'},
        EPA,
        re.compile(r"renewable fuel|\bRFS2?\b|biomass-based diesel|cellulosic biofuel", re.IGNORECASE),
    ),
    Query(
        "tariff",
        "Section 301, China",
        {"conditions[agencies][]": USTR},
        USTR,
        re.compile(r"(?=.*\bChina).*(section 301|acts, policies)", re.IGNORECASE),
    ),
    Query(
        "tariff",
        "presidential documents",
        {"conditions[type][]": "PRESDOCU"},
        "",
        re.compile(r"tariff|\bduties\b|duty-free|\bimports of\b|import surcharge|section (232|301)\b", re.IGNORECASE),
    ),
)


def pull(request: Request) -> Iterator[Rows]:
    """Read the documents of all buckets that no other file supplies.

    Parameters
    ----------
    request : Request
        With the events on file.

    Yields
    ------
    Rows
        All events of one bucket, those on file unchanged.
    """
    buckets = request.untaken("policy_events", list(dict.fromkeys(query.bucket for query in QUERIES)))
    filed = _events([])
    with request.isolated("public inspection"):
        response = request.client.get(INSPECTION, content="json", name="public inspection")
        filed = parse_inspection(response.json(), response.fetched_at)
    for bucket in buckets:
        with request.isolated(bucket):
            held = request.held["policy_events"]
            held = held[held["bucket"] == bucket] if len(held) else _events([])
            start = request.history_from
            if len(held) and not request.is_full:
                start = max(start, (held["available_on"].max() - timedelta(days=OVERLAP_DAYS["recent"])).date())
            own = filed[filed["bucket"] == bucket]
            parts = [_read(request, query, start) for query in QUERIES if query.bucket == bucket]
            found = pd.concat([own, *(part[~part["document_number"].isin(own["document_number"])] for part in parts)])
            new = found[~found["document_number"].isin(held["document_number"])]
            rows = pd.concat([part for part in (held, new) if len(part)] or [held])
            if rows.empty:
                raise SourceError(f"none of the titles since {start} is about {bucket}", CHANGED)
            yield Rows("policy_events", rows.drop_duplicates(list(TABLES["policy_events"].key)))


def _read(request: Request, query: Query, start: date) -> pd.DataFrame:
    """Return the events of one query since a day, in one request or more per year."""
    found: list[dict] = []
    for year in range(start.year, datetime.now().year + 1):
        first, last = max(start, date(year, 1, 1)), date(year, 12, 31)
        params: dict[str, str | list[str]] = {
            **query.conditions,
            "conditions[publication_date][gte]": first.isoformat(),
            "conditions[publication_date][lte]": last.isoformat(),
            "fields[]": list(FIELDS),
            "order": "oldest",
            "per_page": str(PAGE_ROWS),
        }
        found += _pages(request, params, f"{query.name}, {year}", first, last)
    if not found:
        raise SourceError(f"{query.name}: the Federal Register sent no document since {start}", CHANGED)
    return parse_documents(found, query)


def _pages(request: Request, params: dict, name: str, first: date, last: date) -> list[dict]:
    found: list[dict] = []
    address, count = DOCUMENTS, 0
    while address and len(found) <= count:  # the same page again and again ends as well
        page = request.client.get(address, params, content="json", name=name).json()
        if not isinstance(page, dict) or not isinstance(page.get("count"), int):
            raise SourceError(f"{name}: the answer has no count", CHANGED)
        count, results = page["count"], page.get("results") or []  # nothing found: no results at all
        if count >= MAX_COUNT:
            raise SourceError(f"{name}: {MAX_COUNT:,} documents or more, which the API does not count", CHANGED)
        found += results
        address, params = _next_page(page.get("next_page_url") if results else None, name)
    if len(found) != count:
        raise SourceError(f"{name}: the Federal Register sent {len(found)} of {count} documents", "Try again later.")
    strange = [row for row in found if not first.isoformat() <= str(row.get("publication_date")) <= last.isoformat()]
    if strange:
        raise SourceError(
            f"{name}: {len(strange)} documents are not from {first} to {last}, such as one of "
            f"{printable(strange[0].get('publication_date'))}",
            CHANGED,
        )
    return found


def _next_page(url: object, name: str) -> tuple[str, dict[str, list[str]]]:
    """Return address and query of the next page, which must be the publisher's; an empty address after the last."""
    if not url:
        return "", {}
    parts = urlsplit(str(url))
    if (parts.scheme, parts.netloc) != ("https", HOST):
        raise SourceError(f"{name}: the next page is on {printable(parts.netloc)}, not on {HOST}", CHANGED)
    return f"https://{HOST}{parts.path}", parse_qs(parts.query)


def parse_documents(documents: list[dict], query: Query) -> pd.DataFrame:
    """Parse published documents.

    Parameters
    ----------
    documents : list of dict
        With `FIELDS`.
    query : Query
        That found them.

    Returns
    -------
    DataFrame
        Policy events with their document_number, of titles that the query wants. event_date is the effective date, or
        the day of publication without one.

    Raises
    ------
    SourceError
        A field is missing or cannot be read.

    Examples
    --------
    >>> document = {"document_number": "2023-13462", "title": "Renewable Fuel Standard (RFS) Program: Standards ", "type": "Rule",
    ...             "action": "Final rule.", "publication_date": "2023-07-12", "effective_on": "2023-09-11", "correction_of": None}
    >>> event = parse_documents([document], QUERIES[0]).iloc[0]
    >>> f"{event.event_date:%Y-%m-%d} {event.available_on:%Y-%m-%d} {event.kind} {event.severity}"
    '2023-09-11 2023-07-12 Rule 1.0'
    """
    rows = []
    for document in documents:
        _require(document, FIELDS)
        title = _clean(document["title"])
        if not query.wants(title):
            continue
        published = _day(document["publication_date"], document)
        effective = _day(document["effective_on"], document) if document["effective_on"] else published
        if abs(effective.year - published.year) > MAX_YEARS_TO_EFFECT:
            effective = published
        is_detail = bool(document["correction_of"] or DETAIL.search(f"{title} {document['action'] or ''}"))
        rows.append((effective, published, query.bucket, title, document, is_detail))
    return _events(rows)


def parse_inspection(answer: object, now: datetime) -> pd.DataFrame:
    """Parse the documents on public inspection, which are filed and not yet printed.

    Parameters
    ----------
    answer : object
        The whole list, `current.json`.
    now : datetime
        When it was fetched.

    Returns
    -------
    DataFrame
        As from `parse_documents`; event_date is the announced day of publication, which may move.

    Raises
    ------
    SourceError
        The list is incomplete, or a field is missing or cannot be read.
    """
    if not isinstance(answer, dict) or not isinstance(answer.get("results"), list):
        raise SourceError("public inspection: the answer has no results", CHANGED)
    if answer.get("count") != len(answer["results"]):
        raise SourceError(
            f"public inspection: {len(answer['results'])} of {answer.get('count')} documents", "Try again later."
        )
    rows = []
    for document in answer["results"]:
        _require(document, ("document_number", "title", "type", "agencies", "publication_date", "filed_at"))
        title = _clean(document["title"])
        slugs = [agency.get("slug") for agency in document["agencies"] or []] or [""]
        is_presidential = document["type"] == PRESIDENTIAL
        query = next(
            (q for q in QUERIES if (q.agency in slugs if q.agency else is_presidential) and q.wants(title)), None
        )
        if query:
            filed = trade_date(_instant(document["filed_at"], document) if document["filed_at"] else now)
            published = _day(document["publication_date"], document) if document["publication_date"] else filed
            rows.append((published, filed, query.bucket, title, document, bool(DETAIL.search(title))))
    return _events(rows)


def _events(rows: list[tuple]) -> pd.DataFrame:
    """Return policy events of (event_date, available_on, bucket, title, document, whether it is a detail)."""
    columns = [*TABLES["policy_events"].columns, "document_number"]
    events = pd.DataFrame(
        [
            (event, available, bucket, str(document["type"]), title, _severity(document, is_detail), number)
            for event, available, bucket, title, document, is_detail in rows
            for number in [str(document["document_number"])]
        ],
        columns=columns,
    )
    return events.astype({"event_date": "datetime64[us]", "available_on": "datetime64[us]", "severity": float})


def _severity(document: dict, is_detail: bool) -> float:
    return DETAIL_SEVERITY if is_detail else SEVERITY.get(document["type"], OTHER_SEVERITY)


def _require(document: object, fields: tuple[str, ...]) -> None:
    missing = [name for name in fields if name not in document] if isinstance(document, dict) else ["everything"]
    if missing:
        raise SourceError(f"a document of the Federal Register lacks {', '.join(missing)}", CHANGED)


def _clean(title: object) -> str:
    """Return a title as one line of printable characters; empty if there is none."""
    return printable(" ".join(str(title or "").split()))


def _day(text: object, document: dict) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        raise _unreadable(text, document) from None


def _instant(text: object, document: dict) -> datetime:
    try:
        instant = datetime.fromisoformat(str(text))
    except ValueError:
        raise _unreadable(text, document) from None
    if instant.tzinfo is None:
        raise _unreadable(text, document)
    return instant


def _unreadable(text: object, document: dict) -> SourceError:
    number = printable(document["document_number"])
    return SourceError(f"document {number}: the date {printable(text)} cannot be read", CHANGED)

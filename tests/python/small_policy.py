"""Small calendar of the Federal Reserve and small Federal Register: made-up meetings and documents in their formats."""

import json
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from urllib.parse import urlencode

TODAY = date.today()
YEAR = TODAY.year
FOMC = "www.federalreserve.gov/monetarypolicy/fomccalendars.htm"
REGISTER = "www.federalregister.gov/api/v1/documents.json"
NEXT_PAGE = "www.federalregister.gov/api/v1/documents"  # as in next_page_url
INSPECTION = "www.federalregister.gov/api/v1/public-inspection-documents/current.json"
EPA, USTR, PRESIDENT = (
    "environmental-protection-agency",
    "trade-representative-office-of-united-states",
    "executive-office-of-the-president",
)
MEETINGS = (
    ("January", "27-28"),
    ("March", "17-18*"),
    ("Apr/May", "30-1"),
    ("June", "16-17*"),
    ("July", "28-29"),
    ("August", "22 (notation vote)"),
    ("September", "15-16*"),
    ("October", "27-28"),
    ("December", "8-9*"),
)
DECISIONS = ("01-28", "03-18", "05-01", "06-17", "07-29", "09-16", "10-28", "12-09")


def panel(year: int, meetings: Sequence[tuple[str, str]] = MEETINGS) -> str:
    """Return the panel of one year, with the page's stray quotation mark."""
    rows = "\n".join(
        f"""
        <div class="{"fomc-meeting--shaded " if number % 2 else ""}row fomc-meeting" ">
            <div class="fomc-meeting__month col-xs-5"><strong>{month}</strong></div>
            <div class="fomc-meeting__date col-xs-4">{days}</div>
            <div class="col-xs-12 fomc-meeting__minutes"><br> (Released February 18, 2026)</div>
        </div>"""
        for number, (month, days) in enumerate(meetings)
    )
    heading = f'<div class="panel-heading"><h4><a id="42828">{year} FOMC Meetings</a></h4></div>'
    return f'<div class="panel panel-default">{heading}{rows}<div class="panel-footer">* Projections.</div></div>'


def calendar(*panels: str) -> str:
    """Return the page: this year, last year, and the next one at the end, as the Board orders them."""
    panels = panels or tuple(panel(year) for year in (YEAR, YEAR - 1, YEAR + 1))
    head = "<!doctype html>\n<html><head><title>Meeting calendars</title></head><body><h4>Minutes</h4>"
    comment = '<!-- <div class="fomc-meeting__date">not a meeting</div> -->'
    return "\ufeff" + head + comment + "\n".join(panels) + "\n</body></html>\n"


def document(number: str, title: str | None, day: date, slug: str = EPA, **changed: object) -> dict:
    """Return a published document with the fields that the adapter asks for."""
    kind = "Presidential Document" if slug == PRESIDENT else "Notice"
    return {
        "document_number": number,
        "title": title,
        "type": kind,
        "action": None,
        "publication_date": f"{day}",
        "effective_on": None,
        "correction_of": None,
        "agencies": [{"slug": slug}],
    } | changed


def days_ago(days: int) -> date:
    """Return a day of the recent past."""
    return TODAY - timedelta(days=days)


def documents() -> list[dict]:
    """Return published documents: two events per bucket, and others that only mention the words."""
    rfs, china = "Renewable Fuel Standard (RFS) Program: Standards", "China's Acts, Policies, and Practices "
    return [
        document("01-2345", f"{rfs} for 2001", date(2001, 7, 12), type="Rule", effective_on="2001-09-11"),
        document("2026-00001", f"{rfs} \n for 2027  ", days_ago(40), type="Proposed Rule"),
        document("2026-00002", "Air Plan Approval; Iowa", days_ago(39)),
        document("2026-00003", f"Proposed Information Collection Request; {rfs}", days_ago(38)),
        document("2026-00004", f"Notice of Modification of Section 301 Action: {china}", days_ago(30), USTR),
        document("2026-00005", f"Notice of Product Exclusions: {china}", days_ago(29), USTR),
        document("2026-00006", "Section 301 Committee; Digital Services Tax of France", days_ago(28), USTR),
        document("2026-00007", "Modifying Reciprocal Tariff Rates", days_ago(27), PRESIDENT),
        document("2026-00008", "National Volunteer Week", days_ago(26), PRESIDENT),
        document("2026-00009", None, days_ago(26), PRESIDENT),
    ]


def register(rows: Sequence[dict] | None = None, page_rows: int = 1000) -> Callable[[dict[str, str]], str]:
    """Return the API's search, which sends at most `page_rows`, whatever is asked for."""

    def respond(query: dict[str, str]) -> str:
        first, last = query["conditions[publication_date][gte]"], query["conditions[publication_date][lte]"]
        agency, kind = query.get("conditions[agencies][]"), query.get("conditions[type][]")
        found = [
            row
            for row in (documents() if rows is None else rows)
            if first <= row["publication_date"] <= last
            and agency in (None, row["agencies"][0]["slug"])
            and (kind == "PRESDOCU") <= (row["type"] == "Presidential Document")
        ]
        answer: dict[str, object] = {"description": "Documents", "count": len(found)}
        if not found:  # then the API leaves the results out
            return json.dumps(answer)
        page, size = int(query.get("page", "1")), min(page_rows, int(query["per_page"]))
        if page * size < len(found):
            following = urlencode(query | {"page": str(page + 1), "search_after_cursor": "WzE3", "format": "json"})
            answer["next_page_url"] = f"https://{NEXT_PAGE}?{following}"
        return json.dumps(answer | {"results": found[(page - 1) * size : page * size]})

    return respond


def filing(number: str, title: str | None, slug: str = EPA, *, filed: str, day: date, **changed: object) -> dict:
    """Return a document on public inspection."""
    kind = "Presidential Document" if slug == PRESIDENT else "Notice"
    return {
        "document_number": number,
        "title": title,
        "type": kind,
        "agencies": [{"slug": slug, "parent_id": None}],
        "publication_date": f"{day}",
        "filed_at": filed,
    } | changed


def inspection(*rows: dict) -> str:
    """Return the whole list of public inspection."""
    return json.dumps({"count": len(rows), "results": list(rows)})


def everything() -> dict[str, object]:
    """Return the answers of both publishers."""
    return {FOMC: calendar(), REGISTER: register(), NEXT_PAGE: register(), INSPECTION: inspection()}

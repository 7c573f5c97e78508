"""Federal Reserve: days of scheduled FOMC meetings, from the calendar page of the Federal Reserve Board.

https://www.federalreserve.gov/monetarypolicy/fomccalendars.htm has one panel per year, from five years ago to the next
or the one after it. A meeting is landed as a policy event of bucket `fomc` on the day it is first seen; one that leaves
the page before it takes place gets a second row with severity 0. The page has no date of its own, so no meeting is
known before it was seen or has taken place. Notation votes, unscheduled and cancelled meetings are left out. How the page marks a cancelled
meeting is known from the Board's pages of past years only; on this page it is not confirmed on a live answer.
"""

import re
from calendar import month_abbr
from collections.abc import Collection, Iterator
from datetime import date, timedelta
from html.parser import HTMLParser

import pandas as pd

from zl_forecast.ingest.adapters.base import Request, Rows
from zl_forecast.ingest.publication import trade_date
from zl_forecast.ingest.sources import SourceError
from zl_forecast.paths import seed

PAGE = "https://www.federalreserve.gov/monetarypolicy/fomccalendars.htm"
BUCKET, KIND, TITLE = "fomc", "meeting", "Scheduled FOMC meeting"
MEETINGS_PER_YEAR = range(6, 11)  # 8 since 1981, 7 in 2020; another number is another page
MONTHS = {name.lower(): number for number, name in enumerate(month_abbr) if name}
DAYS = re.compile(
    r"(\d{1,2})(?:\s*[-\u2013]\s*(\d{1,2}))?\s*\*?\s*(\(.*\))?\s*\*?"
)  # 27-28, 17-18*, 22 (notation vote)
NOT_SCHEDULED = re.compile("notation|unscheduled|cancel|conference call", re.IGNORECASE)
CHANGED = "The page may have changed: compare it with the raw response."


def pull(request: Request) -> Iterator[Rows]:
    """Read the calendar page, and compare it with the meetings that are known.

    Parameters
    ----------
    request : Request
        With the meetings on file.

    Yields
    ------
    Rows
        Policy events: all on file, meetings first seen now, and meetings that are withdrawn.

    Raises
    ------
    SourceError
        The page cannot be read, or has an impossible number of meetings in a year.
    """
    request.untaken("policy_events", [BUCKET])
    response = request.client.get(PAGE, content="html", name="fomccalendars.htm")
    today = trade_date(response.fetched_at)
    meetings = parse_calendar(response.text())
    _check_years(meetings, today.year)
    held = request.held["policy_events"]
    announced = pd.read_csv(seed("fomc_meetings"), parse_dates=["meeting_date"])["meeting_date"].dt.date
    rows = compare(meetings, held, announced, today)
    withdrawn = rows.loc[rows["severity"] == 0, "event_date"]
    if len(withdrawn):
        request.notes.append(f"no longer scheduled: {', '.join(f'{day:%Y-%m-%d}' for day in withdrawn)}")
    yield Rows("policy_events", pd.concat([held, rows], ignore_index=True) if len(held) else rows)


def compare(meetings: Collection[date], held: pd.DataFrame, announced: Collection[date], today: date) -> pd.DataFrame:
    """Return the rows that a page adds to those on file.

    Parameters
    ----------
    meetings : collection of date
        Scheduled meetings on the page.
    held : DataFrame
        Policy events on file; may be without columns.
    announced : collection of date
        Meetings of seeds/fomc_meetings.csv, known without a row.
    today : date
        Trade date on which the page was read.

    Returns
    -------
    DataFrame
        One row per meeting that has appeared on the page, with severity 1, or has left it before it took place, with
        severity 0. A meeting is available from `today`, or from its own day if that has passed: its decision was public
        then. A change is visible a day later at the earliest than the row before: a build may have read that one.
    """
    newest = held.sort_values("available_on").groupby("event_date").last() if len(held) else held
    on_file = {day.date(): row for day, row in newest.iterrows()}
    scheduled = {day for day, row in on_file.items() if row["severity"] > 0}
    known = scheduled | (set(announced) - set(on_file))
    years = {day.year for day in meetings}
    added = {day for day in meetings if day not in (scheduled if day > today else known)}
    withdrawn = {day for day in known - set(meetings) if day.year in years and day > today}
    rows = []
    for day in sorted(added | withdrawn):
        seen = min(day, today)
        if day in on_file:
            seen = max(seen, on_file[day]["available_on"].date() + timedelta(days=1))
        rows.append((day, seen, BUCKET, KIND, TITLE, float(day in added)))
    columns = ["event_date", "available_on", "bucket", "kind", "title", "severity"]
    kinds = {"event_date": "datetime64[us]", "available_on": "datetime64[us]", "severity": float}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def parse_calendar(text: str) -> list[date]:
    """Parse the calendar page.

    Parameters
    ----------
    text : str
        The page.

    Returns
    -------
    list of date
        Last day of each scheduled meeting, when its decision is published, ascending.

    Raises
    ------
    SourceError
        The page is cut, has no meetings, or a month or day cannot be read.

    Examples
    --------
    >>> parse_calendar('<h4>2026 FOMC Meetings</h4><div class="fomc-meeting__month">Jan/Feb</div>'
    ...                '<div class="fomc-meeting__date">31-1*</div></html>')
    [datetime.date(2026, 2, 1)]
    """
    if "</html>" not in text[-1000:].lower():
        raise SourceError("fomccalendars.htm is cut: it has no end", "Try again later.")
    page = _CalendarPage()
    page.feed(text)
    found = {day for year, month, days in page.meetings if (day := _decision_day(year, month, days))}
    if not found:
        raise SourceError("fomccalendars.htm has no FOMC meetings", CHANGED)
    return sorted(found)


def _decision_day(year: int | None, month: str, days: str) -> date | None:
    """Return the last day of a meeting; None if it is not scheduled."""
    first, *second = [MONTHS.get(name.strip()[:3].lower()) for name in month.split("/")]
    parts = DAYS.fullmatch(days)
    last = second[0] if second else first
    try:
        if year is None or parts is None or first is None or last is None:
            raise ValueError
        day = date(year + (last < first), last, int(parts[2] or parts[1]))
    except ValueError:
        raise SourceError(f"the FOMC meeting {month!r} {days!r} of {year} cannot be read", CHANGED) from None
    return None if NOT_SCHEDULED.search(parts[3] or "") else day


def _check_years(meetings: list[date], this_year: int) -> None:
    for year in range(this_year, meetings[-1].year + 1):
        count = sum(day.year == year for day in meetings)
        if count not in MEETINGS_PER_YEAR:
            raise SourceError(f"fomccalendars.htm has {count} scheduled meetings in {year} instead of 8", CHANGED)
    if meetings[-1].year < this_year:
        raise SourceError(f"fomccalendars.htm ends with {meetings[-1].year}", "An old copy was sent: try again later.")


class _CalendarPage(HTMLParser):
    """Collects (year, month, days) of all meetings, in the order of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.meetings: list[tuple[int | None, str, str]] = []
        self._year: int | None = None
        self._month = ""
        self._reading = ""  # year, month or date
        self._text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        classes = (dict(attrs).get("class") or "").split()
        if tag == "h4":
            self._reading, self._text = "year", ""
        elif part := next((name for name in ("month", "date") if f"fomc-meeting__{name}" in classes), ""):
            self._reading, self._text = part, ""

    def handle_data(self, data: str) -> None:
        self._text += data

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("h4", "div") or not self._reading:
            return
        text = " ".join(self._text.split())
        if self._reading == "year":
            match = re.match(r"(\d{4}) FOMC Meetings", text)
            self._year = int(match[1]) if match else None
        elif self._reading == "month":
            self._month = text
        else:
            self.meetings.append((self._year, self._month, text))
            self._month = ""
        self._reading = ""

"""World Bank: monthly average prices of the pink sheet, released about the second business day of the next month.

The workbook CMO-Historical-Data-Monthly.xlsx is linked on https://www.worldbank.org/en/research/commodity-markets. Its address
changes every year, and the old one goes on sending the last workbook of its year: the link is therefore read from the
page, and a workbook that says it was updated long ago is refused. A release also tells since when a price has been another one
(sheet Description); seeds/series_breaks.csv has these changes. That the page may be read without a browser is not
confirmed on a live answer.
"""

import io
import re
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from urllib.parse import urljoin

import openpyxl
import pandas as pd

from zl_forecast.ingest.adapters.base import Observations, Request, parsing
from zl_forecast.ingest.publication import CHICAGO
from zl_forecast.ingest.sources import SourceError
from zl_forecast.paths import seed

PAGE = "https://www.worldbank.org/en/research/commodity-markets"
DOCUMENTS = "https://thedocs.worldbank.org"
WORKBOOK = "CMO-Historical-Data-Monthly.xlsx"
SHEET, DESCRIPTIONS = "Monthly Prices", "Description"
UNIT = "$/mt"
MISSING = (None, "", "…", "..", "...")
MAX_AGE_DAYS = 45  # releases are at most 37 days apart


def pull(request: Request) -> Iterator[Observations]:
    """Read the newest workbook that the World Bank's page links to.

    Parameters
    ----------
    request : Request
        Its series have names of columns as publisher_code.

    Yields
    ------
    Observations
        USD per tonne, dated on the first of the month; published on the day that the workbook states.
    """
    page = request.client.get(PAGE, content="html", name="page of commodity markets")
    books, gone = [], None
    for link in _find_links(page.text()):
        try:
            response = request.client.get(link, content="zip", name=WORKBOOK)
        except SourceError as error:
            if error.status != 404:
                raise
            gone = error  # a link to a former year's workbook
            continue
        books.append((*parse_workbook(response.body, list(request.series["publisher_code"])), response.fetched_at))
    if gone and not books:
        raise gone
    updated_on, prices, described, fetched_at = max(books, key=lambda book: book[0])
    age = (fetched_at.date() - updated_on).days
    if age > MAX_AGE_DAYS:
        raise SourceError(
            f"{WORKBOOK} was updated on {updated_on}, {age} days ago: the page links to an old copy",
            f"Try again later, or look for a newer one on {PAGE}.",
        )
    # the hour is not known: before the cut-off of the next day
    published_at = datetime.combine(updated_on + timedelta(days=1), time(0), CHICAGO)
    breaks = pd.read_csv(seed("series_breaks"), parse_dates=["obs_date"]).groupby("series_id")["obs_date"].max()
    for series_id, column in request.series["publisher_code"].items():
        with request.isolated(str(series_id)):
            if column not in prices:
                raise SourceError(
                    f"{series_id}: {WORKBOOK} has no column {column}", "It may have been renamed or ended."
                )
            newest = described.get(column)
            if newest is not None and not newest <= breaks.get(series_id, pd.Timestamp.min):
                request.notes.append(
                    f"{series_id} has measured another price since {newest:%Y-%m}, says the workbook: add that to "
                    "seeds/series_breaks.csv"
                )
            yield Observations(str(series_id), prices[column], fetched_at, published_at)


def _find_links(page: str) -> list[str]:
    """Return the addresses of the workbook on the World Bank's page.

    >>> _find_links('<a href="/en/doc/0123-0050012026/related/CMO-Historical-Data-Monthly.xlsx">Monthly prices</a>')
    ['https://thedocs.worldbank.org/en/doc/0123-0050012026/related/CMO-Historical-Data-Monthly.xlsx']
    """
    found = re.findall(rf"""href=["']([^"'?#]*/{re.escape(WORKBOOK)})""", page)
    if not found:
        raise SourceError(f"{PAGE} has no link to {WORKBOOK}", "The page may have changed: see the raw response.")
    return list(dict.fromkeys(urljoin(DOCUMENTS, link) for link in found))


def parse_workbook(body: bytes, columns: list[str]) -> tuple[date, pd.DataFrame, dict[str, pd.Timestamp]]:
    """Parse the workbook: names of prices above their units, then one row per month such as 1960M01.

    Parameters
    ----------
    body : bytes
        The xlsx file.
    columns : list of str
        Names of prices to read; capitals, spaces and asterisks do not matter.

    Returns
    -------
    date
        Day of the update.
    DataFrame of float
        One column per name that was found, by first day of the month.
    dict[str, Timestamp]
        By name, newest month that its text in the sheet Description mentions.

    Raises
    ------
    SourceError
        The workbook has another layout, a price is in another unit, or a value cannot be read.
    """
    try:
        book = openpyxl.load_workbook(io.BytesIO(body), read_only=True, data_only=True)
        rows = [list(row) for row in book[SHEET].iter_rows(values_only=True)]
        described = book[DESCRIPTIONS].iter_rows(values_only=True) if DESCRIPTIONS in book.sheetnames else ()
        texts = [str(cell) for row in described for cell in row if cell is not None]
    except (KeyError, ValueError, OSError) as error:
        raise SourceError(
            f"{WORKBOOK} is no workbook with a sheet {SHEET}: {str(error)[:100]}", "The format may have changed."
        ) from None
    width = max(map(len, rows), default=0)
    rows = [[*row, *[None] * (width - len(row))] for row in rows]
    head = next((number for number, row in enumerate(rows) if "crude oil, brent" in map(_plain, row)), None)
    if head is None or head + 1 == len(rows):
        raise SourceError(f"{WORKBOOK}: no row of {SHEET} has the names of prices", "The format may have changed.")
    updated = re.search(r"Updated on (\w+ \d+, \d{4})", " ".join(str(cell) for row in rows[:head] for cell in row))
    if not updated:
        raise SourceError(f"{WORKBOOK} does not say when it was updated", "The format may have changed.")
    months = [(match[1], match[2], row) for row in rows[head:] if (match := re.match(r"(\d{4})M(\d\d)$", str(row[0])))]
    names, units = [_plain(cell) for cell in rows[head]], [_plain(cell).strip("()") for cell in rows[head + 1]]
    prices = {}
    for column in columns:
        if _plain(column) not in names:
            continue
        position = names.index(_plain(column))
        if units[position] != UNIT:
            raise SourceError(
                f"{WORKBOOK} has {column} in {units[position]} instead of {UNIT}",
                "The unit may have changed: see the workbook.",
            )
        cells = [row[position] for _, _, row in months]
        prices[column] = [float("nan") if cell in MISSING else cell for cell in cells]
    with parsing(f"{WORKBOOK}: a date or price", "The format may have changed."):
        index = pd.DatetimeIndex(
            [datetime(int(year), int(month), 1) for year, month, _ in months], dtype="datetime64[us]"
        )
        day = datetime.strptime(updated[1], "%B %d, %Y").date()
        table = pd.DataFrame(prices, index, dtype=float)
    return day, table, {column: month for column in columns if (month := _newest_definition(column, texts)) is not None}


def _plain(cell: object) -> str:
    return " ".join(str(cell or "").replace("*", " ").lower().split())


def _newest_definition(column: str, texts: list[str]) -> pd.Timestamp | None:
    """Return the newest month of a description such as "Palm oil (Malaysia), from February 2025, Crude, DAP; November 2024-"."""
    own = [text for text in texts if text.strip().lower().startswith(column.lower())]
    months = [month for text in own for month in re.findall(r"[A-Z][a-z]+ \d{4}", text)]
    newest = pd.to_datetime(pd.Series(months, dtype=str), format="%B %Y", errors="coerce").max()
    return None if pd.isna(newest) else newest

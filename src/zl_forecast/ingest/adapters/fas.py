"""USDA Foreign Agricultural Service: weekly export sales, published on Thursday at 08:30 Eastern for the week before.

The ESR API of https://api.fas.usda.gov (key from https://api.data.gov/signup/, reference in
https://apps.fas.usda.gov/opendatawebV2/) sends one list per commodity and marketing year, with a row per week and
country. Marketing year 2026 is 2025/26: it begins on 1 September for soybeans and on 1 October for soybean oil. Net
sales are those for the current and the next marketing year.

Not confirmed on a live answer: whether the week in which a marketing year begins is in both lists. Sales for the new year
then count once, from the list of the new year.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pandas as pd

from zl_forecast.ingest.adapters.base import CHANGED, Observations, Request, parsing
from zl_forecast.ingest.publication import trade_date
from zl_forecast.ingest.sources import SourceError

API = "https://api.fas.usda.gov/api/esr"
EASTERN = ZoneInfo("America/New_York")
METRIC_TONS = 1  # unitId
DAYS_TO_TURN = 14  # a week of the new marketing year may be in the list of the old one
COLUMNS = {  # name here, in the API
    "commodity": "commodityCode",
    "country": "countryCode",
    "week": "weekEndingDate",
    "unit": "unitId",
    "current": "currentMYNetSales",
    "next": "nextMYNetSales",
    "exported": "accumulatedExports",
    "outstanding": "outstandingSales",
    "commitment": "currentMYTotalCommitment",
}


def pull(request: Request) -> Iterator[Observations]:
    """Read net sales of all weeks, one request per commodity and marketing year.

    Parameters
    ----------
    request : Request
        Its publisher_code has the code and the name of the commodity, and of a country after a slash.

    Yields
    ------
    Observations
        Metric tons by the Thursday that ends the week.
    """
    codes = request.series["publisher_code"]
    names = {row["commodityCode"]: row["commodityName"] for row in _get(request, "commodities", "commodityName")}
    releases = _get(request, "datareleasedates", "releaseTimeStamp", "marketYear", "marketYearStart")
    sales: dict[str, tuple[pd.DataFrame, datetime]] = {}
    for series_id, code in codes.items():
        with request.isolated(str(series_id)):
            commodity, _, country = code.partition(" / ")
            number, _, name = commodity.partition(" ")
            if name.casefold() not in str(names.get(int(number), "")).casefold():
                raise SourceError(
                    f"{series_id}: commodity {number} is {names.get(int(number))!r}, not {name!r}",
                    "See https://api.fas.usda.gov/api/esr/commodities, and publisher_code in seeds/source_series.csv.",
                )
            released = [row for row in releases if row["commodityCode"] == int(number) and row["releaseTimeStamp"]]
            if not released:
                raise SourceError(f"{series_id}: no release date of commodity {number}", "Try again later.")
            start = min(request.window_start(str(other)) for other in codes.index if codes[other].startswith(commodity))
            if commodity not in sales:
                sales[commodity] = _read_sales(request, int(number), released, start)
            rows, fetched_at = sales[commodity]
            values = net_sales(rows, int(country.split()[0]) if country else None)
            published_at = max(_released_at(row["releaseTimeStamp"]) for row in released)
            yield Observations(str(series_id), values[values.index >= pd.Timestamp(start)], fetched_at, published_at)


def _get(request: Request, path: str, *fields: str) -> list[dict]:
    """Return a list of rows that have a commodityCode and further fields."""
    response = request.client.get(f"{API}/{path}", {"api_key": request.key or ""}, content="json", name=path)
    rows = response.json()
    wanted = {"commodityCode", *fields}
    if not isinstance(rows, list) or not all(isinstance(row, dict) and wanted <= set(row) for row in rows):
        raise SourceError(f"{path} is not a list of rows with {', '.join(fields)}", "The format may have changed.")
    return rows


def _released_at(text: str) -> datetime:
    """Return when a release was published; its time is Eastern, and 00:00 if only the day is known."""
    try:
        local = datetime.fromisoformat(text[:19]).replace(tzinfo=EASTERN)
    except ValueError:
        raise SourceError(f"the release date {text!r} cannot be read", "The format may have changed.") from None
    return (local.replace(hour=8, minute=30) if local.time().isoformat() == "00:00:00" else local).astimezone(UTC)


def _read_sales(request: Request, commodity: int, released: list[dict], start: date) -> tuple[pd.DataFrame, datetime]:
    """Return the rows of all marketing years since `start`."""
    newest = max(released, key=lambda row: row["marketYear"])
    begins = date.fromisoformat(newest["marketYearStart"][:10])

    def market_year(day: date) -> int:
        return newest["marketYear"] + day.year - begins.year - ((day.month, day.day) < (begins.month, begins.day))

    now = datetime.now(UTC)
    first, last = market_year(start - timedelta(days=DAYS_TO_TURN)), market_year(trade_date(now))
    parts: list[pd.DataFrame] = []
    for year in range(first, last + 1):
        name = f"commodity {commodity}, marketing year {year}"
        request.progress(name)
        address = f"{API}/exports/commodityCode/{commodity}/allCountries/marketYear/{year}"
        try:
            response = request.client.get(address, {"api_key": request.key or ""}, content="json", name=name)
        except SourceError as error:
            if error.status != 404 or parts:
                raise
            continue
        # a year that has not begun, or is older than the archive, is an empty list
        if rows := response.json():
            parts.append(parse_sales(rows, commodity, year))
            now = response.fetched_at
        elif parts and year < last:
            raise SourceError(f"{name}: no sales, although there are some before it", "Try again later.")
    if not parts:
        raise SourceError(
            f"commodity {commodity}: no sales in the marketing years {first} to {last}", "Try again later."
        )
    return pd.concat(parts, ignore_index=True), now


def parse_sales(rows: object, commodity: int, year: int) -> pd.DataFrame:
    """Parse the sales of one commodity in one marketing year.

    Parameters
    ----------
    rows : object
        Parsed JSON: one dict per week and country.
    commodity, year : int
        Code of the commodity, and marketing year.

    Returns
    -------
    DataFrame
        Columns of `COLUMNS` and `year`; week is the Thursday that ends it.

    Raises
    ------
    SourceError
        A field is missing or cannot be read, the rows are of another commodity or unit, or contradict each other.
    """
    what = f"export sales of commodity {commodity} in marketing year {year}"
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise SourceError(f"{what} are not a list of rows", CHANGED)
    missing = sorted({field for field in COLUMNS.values() for row in rows if row.get(field) is None})
    if missing:
        raise SourceError(f"{what} lack {', '.join(missing)}", CHANGED)
    with parsing(f"{what}: a date or number", errors=(AttributeError, TypeError, ValueError)):
        table = pd.DataFrame({name: [row[field] for row in rows] for name, field in COLUMNS.items()}).drop_duplicates()
        table["week"] = pd.to_datetime(table["week"].str[:10], format="%Y-%m-%d").astype("datetime64[us]")
        table = table.astype(dict.fromkeys(table.columns.drop("week"), float))
    for name, expected in (("commodity", commodity), ("unit", METRIC_TONS)):
        if (table[name] != expected).any():
            strange = table.loc[table[name] != expected, name].iloc[0]
            raise SourceError(f"{what} have rows of {name} {strange:g} instead of {expected}", "See the raw response.")
    repeated = table[table.duplicated(["country", "week"])]
    if len(repeated):
        raise SourceError(
            f"{what}: {len(repeated)} countries have two rows in a week, first {repeated['country'].iloc[0]:g} in the week "
            f"to {repeated['week'].iloc[0]:%Y-%m-%d}",
            "The response is faulty: try again later.",
        )
    wrong = table[(table["exported"] + table["outstanding"] - table["commitment"]).abs() > 1]
    if len(wrong):
        raise SourceError(
            f"{what}: {len(wrong)} rows in which exports and outstanding sales are not the commitment, first in the week to "
            f"{wrong['week'].iloc[0]:%Y-%m-%d}",
            "The columns may have changed: see the raw response.",
        )
    # the first and last days of a marketing year belong to the week that ends on the next Thursday
    table["week"] += pd.to_timedelta((3 - table["week"].dt.weekday) % 7, unit="D")
    return table.assign(year=year)


def net_sales(rows: pd.DataFrame, country: int | None = None) -> pd.Series:
    """Return net sales by week, for the current and the next marketing year.

    Parameters
    ----------
    rows : DataFrame
        From `parse_sales`, of one commodity and some consecutive marketing years.
    country : int, optional
        Of the buyer; all countries by default.

    Returns
    -------
    Series of float
        Metric tons by week; 0 in a week without a row of the country.

    Examples
    --------
    >>> week = pd.Timestamp("2026-07-23")
    >>> row = {"year": 2026, "week": week, "country": 5700, "current": 25_376.0, "next": 0.0}
    >>> net_sales(pd.DataFrame([row, row | {"country": 1220, "current": 100.0, "next": 50.0}])).tolist()
    [25526.0]
    """
    begun = pd.MultiIndex.from_frame(rows[["year", "week"]])
    is_in_next = pd.MultiIndex.from_arrays([rows["year"] + 1, rows["week"]]).isin(begun)
    sales = rows["current"] + rows["next"].mask(is_in_next, 0.0)
    weeks = pd.Index(sorted(rows["week"].unique()))
    is_counted = rows["country"].eq(country) if country else slice(None)
    return sales[is_counted].groupby(rows["week"]).sum().reindex(weeks, fill_value=0.0)

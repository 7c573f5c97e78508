"""Small USDA for `publishers.Publishers`: WASDE reports in the archive's XML, and weekly export sales, with made-up values."""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from xml.sax.saxutils import quoteattr

import pandas as pd
from publishers import Answer

TODAY = date.today()
CATALOGUE = "esmis.nal.usda.gov/api/v1/release/findByIdentifier/wasde"
FILES = "esmis.nal.usda.gov/sites/default/release-files"
US, WORLD = "U.S. Soybeans and Products Supply and Use (Domestic Measure)  1/", "World Soybean Supply and Use  1/"
# as printed: table, part of the table (its unit, or a region), row
ROWS = {
    "WASDE_US_SBO_ENDING_STOCKS_NEW": (US, "Million Pounds", "Ending stocks"),
    "WASDE_US_SBO_USE_TOTAL_NEW": (US, "Million Pounds", "     Use, Total"),
    "WASDE_US_SBO_BIOFUEL_NEW": (US, "Million Pounds", "     Biofuel 3/"),
    "WASDE_US_SB_ENDING_STOCKS_NEW": (US, "Million Bushels", "Ending Stocks"),
    "WASDE_US_SB_USE_TOTAL_NEW": (US, "Million Bushels", "     Use, Total"),
    "WASDE_US_SB_EXPORTS_NEW": (US, "Million Bushels", "Exports"),
    "WASDE_CN_SB_IMPORTS_NEW": (WORLD, "        China", "Imports"),
    "WASDE_BR_SB_PRODUCTION_NEW": (WORLD, "        Brazil", "Production"),
}
RELEASES = sorted(
    day.date() + timedelta(days=9) for day in pd.date_range(end=TODAY - timedelta(days=12), periods=14, freq="MS")
)


def wasde_value(series_id: str, day: date) -> float:
    """Return the made-up estimate of a series in the report of a day."""
    return 1000 + 10 * list(ROWS).index(series_id) + day.month + (day.year % 100) / 100


def release(day: date, *files: str, description: str = "") -> dict[str, object]:
    """Return an entry of ESMIS' list of releases; without files, one with a PDF and an XML."""
    files = files or (f"https://{path(day)}",)
    return {
        "id": "1",
        "title": "World Agricultural Supply and Demand Estimates",
        "release_datetime": f"{day}T12:00:00+0000",
        "files": [files[0].replace(".xml", ".pdf"), *files],
        "description": description,
    }


def path(day: date, suffix: str = "") -> str:
    """Return the path of a report."""
    return f"{FILES}/{day:%Y%m%d}/wasde{day:%m%y}{suffix}.xml"


def catalogue(releases: Iterable[dict[str, object]], page_rows: int = 25) -> Callable[[dict[str, str]], str]:
    """Return ESMIS' list of releases, newest first."""
    found = sorted(releases, key=lambda entry: str(entry["release_datetime"]), reverse=True)

    def respond(query: dict[str, str]) -> str:
        page = int(query["page"])
        pager = {"current_page": page, "items_per_page": page_rows, "total_pages": -(-len(found) // page_rows)}
        return json.dumps({"pager": pager, "results": found[page * page_rows : (page + 1) * page_rows]})

    return respond


def report(
    day: date,
    values: Mapping[str, object] | None = None,
    labels: Mapping[str, str] | None = None,
    month: str | None = None,
    without: Iterable[str] = (),
) -> str:
    """Return a report in XML: three marketing years, of which the newest has a column for last month and for this one.

    `values` are by series, `labels` replace labels as printed, and `without` are series that have no row.
    """
    month = month or f"{day:%B %Y}"
    last = f"{day.replace(day=1) - timedelta(days=1):%B}"
    values = {name: (values or {}).get(name, wasde_value(name, day)) for name in ROWS if name not in without}
    first = day.year - (day.month < 5)  # a new marketing year enters in May
    years = [f"{first + add}/{(first + add + 1) % 100:02d}" for add in (-2, -1, 0)]

    def cell(suffix: int, text: object) -> str:
        text = f"{text:,}" if isinstance(text, int | float) else str(text)
        return f"<Cell cell_value{suffix}={quoteattr(text)} />"

    def us_part(suffix: int, unit: str) -> str:
        # soybeans say Jun, the other parts June
        months = [name[:3] if unit == "Million Bushels" else name for name in (last, month.split()[0])]
        columns = [(years[0], ""), (f"{years[1]} Est.", ""), *((f"{years[2]} Proj.", name) for name in months)]

        def row(label: str, texts: list[object]) -> str:
            groups = "".join(
                f'<y market_year{suffix}="{year}"><m forecast_month{suffix}="{name}">{cell(suffix, text)}</m></y>'
                for (year, name), text in zip(columns, texts, strict=True)
            )
            filler = "".join(f"<Cell m1_unit_descr{suffix}={quoteattr(text)} />" for text in ("", unit, ""))
            return f"<g><F>{filler}</F><attribute{suffix} attribute{suffix}={quoteattr(label)}>{groups}</attribute{suffix}></g>"

        old = "NA" if day.month == 5 else 7777.0
        rows = [row("Avg. Farm Price (c/lb)  2/", ["53.20", "51.50", "52.50 - 56.50", "52.50 - 56.50"])]
        rows += [
            row(label, [5555, 6666, old, values[name]])
            for name, (title, part, label) in ROWS.items()
            if title == US and part == unit and name in values
        ]
        return f"<matrix{suffix}>{''.join(rows)}</matrix{suffix}>"

    def world(scale: float) -> str:
        parts = []
        for suffix, year in ((4, years[0]), (5, f"{years[1]} Est."), (2, f"{years[2]} Proj.")):
            regions = []
            for region in ("World  2/", "        Brazil", "        China"):
                rows = [("Production", 1.5), ("Imports", 2.5), ("Ending\r\nStocks", 3.5)]
                by_month = []
                for name in (last[:3], month[:3]) if suffix == 2 else ("",):
                    own = {
                        label: values.get(series_id, "") if name == month[:3] else 9.5
                        for series_id, (title, part, label) in ROWS.items()
                        if (title, part) == (WORLD, region)
                    }
                    cells = "".join(
                        f"<a attribute{suffix}={quoteattr(label)}>"
                        + cell(suffix, scale * text if scale != 1 else own.get(label, text))
                        + "</a>"
                        for label, text in rows
                    )
                    by_month.append(f'<m forecast_month{suffix}="{name}">{cells}</m>' if name else cells)
                regions.append(f"<r region{suffix}={quoteattr(region)}>{''.join(by_month)}</r>")
            parts.append(f'<matrix{suffix} region_header{suffix}="{year}">{"".join(regions)}</matrix{suffix}>')
        return "".join(parts)

    tables = [
        ("World Soybean Meal Supply and Use 1/", world(2)),
        (US, us_part(4, "Million Bushels") + us_part(5, "Million Pounds") + us_part(6, "Thousand Short Tons")),
        (WORLD, world(1)),
    ]
    text = "".join(
        f'<sr><Report Name="sr" Report_Month="{month}" sub_report_title={quoteattr(title)}>{body}</Report></sr>'
        for title, body in tables
    )
    for printed, other in (labels or {}).items():
        assert printed in text, printed
        text = text.replace(printed, other)
    return f"<?xml version='1.0' encoding='utf-8'?><Report Name=\"wasde\">{text}</Report>"


def wasde(days: Iterable[date] = RELEASES) -> dict[str, object]:
    """Return the list of releases and their reports, by path."""
    days = list(days)
    return {CATALOGUE: catalogue(map(release, days))} | {path(day): report(day) for day in days}


# ---------------------------------------------------------------- export sales

ESR = "api.fas.usda.gov/api/esr"
SOYBEANS, OIL, CHINA = 801, 902, 5700
TURNS = {SOYBEANS: 9, OIL: 10}  # month in which a marketing year begins
THURSDAYS = [day.date() for day in pd.date_range(TODAY - timedelta(days=800), TODAY - timedelta(days=8), freq="W-THU")]


def marketing_year(commodity: int, day: date) -> int:
    """Return the number of the marketing year: 2026 for 2025/26."""
    return day.year + (day.month >= TURNS[commodity])


def sale(commodity: int, country: int, week: date, current: int, following: int = 0) -> dict[str, object]:
    """Return one row of the API."""
    return {
        "commodityCode": commodity,
        "countryCode": country,
        "weeklyExports": 100,
        "accumulatedExports": 700,
        "outstandingSales": 300,
        "grossNewSales": current + 50,
        "currentMYNetSales": current,
        "currentMYTotalCommitment": 1000,
        "nextMYOutstandingSales": 0,
        "nextMYNetSales": following,
        "unitId": 1,
        "weekEndingDate": f"{week}T00:00:00",
    }


def made_up_sales(commodity: int, week: date) -> dict[int, tuple[int, int]]:
    """Return made-up net sales by country for the current and the next marketing year; China buys every other week."""
    base = commodity + week.toordinal() % 97
    return {1220: (base, 10), 2: (-20, 0)} | ({CHINA: (5 * base, 1)} if week.toordinal() % 2 else {})


def list_sales(commodity: int, year: int, weeks: Iterable[date] = THURSDAYS) -> list[dict[str, object]]:
    """Return all rows of a commodity in a marketing year, newest first."""
    return [
        sale(commodity, country, week, *amounts)
        for week in sorted(weeks, reverse=True)
        if marketing_year(commodity, week) == year
        for country, amounts in made_up_sales(commodity, week).items()
    ]


def sales_path(commodity: int, year: int) -> str:
    """Return the path of the sales of a marketing year."""
    return f"{ESR}/exports/commodityCode/{commodity}/allCountries/marketYear/{year}"


def fas(weeks: Iterable[date] = THURSDAYS, released_at: str | None = None) -> dict[str, object]:
    """Return the API's answers by path; a year without sales is an empty list."""
    weeks = list(weeks)
    newest = {code: marketing_year(code, weeks[-1]) for code in TURNS}
    dates = [
        {
            "commodityCode": code,
            "marketYearStart": f"{year - 1}-{TURNS[code]:02d}-01T00:00:00",
            "marketYearEnd": f"{year}-{TURNS[code] - 1:02d}-28T00:00:00",
            "marketYear": year,
            "releaseTimeStamp": released_at or f"{weeks[-1] + timedelta(days=7)}T08:30:42.67",
        }
        for code, year in newest.items()
    ]
    names = {107: "All Wheat", SOYBEANS: "Soybeans", 901: "Soybean Cake and Meal", OIL: "Soybean Oil"}
    commodities = [{"commodityCode": code, "commodityName": name, "unitId": 1} for code, name in names.items()]

    def sales(code: int, year: int) -> Callable[[dict[str, str]], Answer | str]:
        def respond(query: dict[str, str]) -> Answer | str:
            if not query.get("api_key"):
                return Answer('{"error": {"code": "API_KEY_MISSING", "message": "No api_key was supplied."}}', 403)
            return json.dumps(list_sales(code, year, weeks))

        return respond

    years = range(1999, TODAY.year + 3)
    return {
        f"{ESR}/commodities": json.dumps(commodities),
        f"{ESR}/datareleasedates": json.dumps(dates),
        **{sales_path(code, year): sales(code, year) for code in TURNS for year in years},
    }


def everything() -> dict[str, object]:
    """Return the answers of both sources."""
    return wasde() | fas()

"""Small Cboe, New York Fed and EIA for `publishers.Publishers`: made-up values in the publishers' formats."""

import json
import struct
from collections.abc import Callable
from datetime import date

import pandas as pd
import small_publishers as small
from publishers import csv_text

VIX = "cdn.cboe.com/api/global/us_indices/daily_prices/VIX_History.csv"
NYFED = "markets.newyorkfed.org/api/rates"
EIA_API = "api.eia.gov/v2"
ROUTES = {
    "RWTC": "petroleum/pri/spt",
    "RBRTE": "petroleum/pri/spt",
    "RNGWHHD": "natural-gas/pri/fut",
    "WDISTUS1": "petroleum/stoc/wstk",
    "WCESTUS1": "petroleum/stoc/wstk",
    "M_EPOOBDSO_YIFBP_NUS_MMLB": "petroleum/pnp/feedbiofuel",
}
WORKBOOKS = {
    "RWTC": "www.eia.gov/dnav/pet/hist_xls/RWTCd.xls",
    "RBRTE": "www.eia.gov/dnav/pet/hist_xls/RBRTEd.xls",
    "RNGWHHD": "www.eia.gov/dnav/ng/hist_xls/RNGWHHDd.xls",
    "WDISTUS1": "www.eia.gov/dnav/pet/hist_xls/WDISTUS1w.xls",
    "WCESTUS1": "www.eia.gov/dnav/pet/hist_xls/WCESTUS1w.xls",
    "M_EPOOBDSO_YIFBP_NUS_MMLB": "www.eia.gov/dnav/pet/xls/PET_PNP_FEEDBIOFUEL_DCU_NUS_M.xls",
}
Cell = str | float | None


def vix(changed: dict[str, float] | None = None, last: date | None = None) -> str:
    """Return Cboe's file: the values of the small FRED, with changed closes by day (YYYY-MM-DD)."""
    closes = {
        day: (changed or {}).get(f"{day:%Y-%m-%d}", small.value("VIXCLS", day))
        for day in small.BUSINESS_DAYS
        if last is None or day.date() <= last
    }
    rows = [[f"{day:%m/%d/%Y}", *[f"{number:.6f}" for number in (1, 9, 0.5, close)]] for day, close in closes.items()]
    return csv_text([["DATE", "OPEN", "HIGH", "LOW", "CLOSE"], *rows])


def nyfed_rate(day: str, rate: str, percent: object, revision: object = "") -> dict[str, object]:
    """Return a rate as the New York Fed's interface has it."""
    return {
        "effectiveDate": day,
        "type": rate,
        "percentRate": percent,
        "volumeInBillions": 1,
        "revisionIndicator": revision,
    }


def nyfed(rate: str) -> Callable[[dict[str, str]], str]:
    """Return the New York Fed's interface: newest day first, numbers as numbers."""

    def respond(query: dict[str, str]) -> str:
        days = [day for day in small.BUSINESS_DAYS[::-1] if query["startDate"] <= f"{day:%Y-%m-%d}" <= query["endDate"]]
        return json.dumps({"refRates": [nyfed_rate(f"{day:%Y-%m-%d}", rate, small.value(rate, day)) for day in days]})

    return respond


def eia_values(code: str) -> dict[pd.Timestamp, float | None]:
    """Return the values of a series of EIA by day; one month is withheld."""
    if code.startswith("M_"):
        months = pd.date_range(end=pd.Timestamp(small.TODAY) - pd.Timedelta(days=100), periods=30, freq="MS")
        return {day: None if day == months[3] else small.value(code, day) for day in months}
    return {day: small.value(code, day) for day in (small.FRIDAYS if code.startswith("W") else small.BUSINESS_DAYS)}


def eia_row(code: str, period: str, value: object) -> dict[str, object]:
    """Return a row of EIA's API."""
    return {"period": period, "duoarea": "NUS", "series": code, "value": value, "units": "U"}


def eia_api(page_rows: int = 5000, as_text: bool = True) -> Callable[[dict[str, str]], str]:
    """Return EIA's API, which echoes the key; it sends at most `page_rows`, whatever length is asked for."""

    def respond(query: dict[str, str]) -> str:
        code = query["facets[series][]"]
        form = "%Y-%m" if query["frequency"] == "monthly" else "%Y-%m-%d"
        values = {f"{day:{form}}": value for day, value in eia_values(code).items()}
        rows = [
            eia_row(code, period, str(value) if as_text and value is not None else value)
            for period, value in values.items()
            if period >= query["start"]
        ]
        offset, length = int(query["offset"]), min(page_rows, int(query["length"]))
        response: dict[str, object] = {
            "total": str(len(rows)) if as_text else len(rows),
            "data": rows[offset:][:length],
        }
        if len(rows) > length:
            response["warnings"] = [
                {"warning": "incomplete return", "description": "The API can only return 5000 rows."}
            ]
        return json.dumps({"response": response, "request": {"params": query}, "apiVersion": "2.1.12"})

    return respond


def eia_sheets(code: str, values: dict[pd.Timestamp, float | None], released: str) -> dict[str, list[list[Cell]]]:
    """Return the sheets of EIA's workbook of a series; months are dated in their middle."""
    day_zero, shift = pd.Timestamp("1899-12-30"), 14 if code.startswith("M_") else 0
    contents: list[list[Cell]] = [[None], [None, "Workbook Contents"], [None, "Release Date:", released]]
    contents.append([None, "Next Release Date:", "1/1/2100"])
    data: list[list[Cell]] = [
        ["Back to Contents", "Data 1: name"],
        ["Sourcekey", "OTHER", code],
        ["Date", "Other", "Name"],
    ]
    data += [[float((day - day_zero).days + shift), 1.0, value] for day, value in values.items()]
    return {"Contents": contents, "Data 1": data}


def eia_workbook(code: str, last: date | None = None, released: str = "1/3/2020") -> bytes:
    """Return EIA's workbook of a series."""
    values = {day: value for day, value in eia_values(code).items() if last is None or day.date() <= last}
    return workbook(eia_sheets(code, values, released))


def workbook(sheets: dict[str, list[list[Cell]]]) -> bytes:
    """Return an Excel file of texts and numbers, in the format of Excel 95 without its container."""

    def record(kind: int, content: bytes) -> bytes:
        return struct.pack("<HH", kind, len(content)) + content

    def begin(kind: int) -> bytes:
        return record(0x0809, struct.pack("<4H", 0x0500, kind, 0, 1996))

    def cell(row: int, column: int, value: Cell) -> bytes:
        place = struct.pack("<3H", row, column, 0)
        if isinstance(value, str):
            return record(0x0204, place + struct.pack("<H", len(value)) + value.encode("latin-1"))
        return b"" if value is None else record(0x0203, place + struct.pack("<d", value))

    end = record(0x000A, b"")
    parts = [
        begin(0x0010)
        + b"".join(cell(row, column, value) for row, cells in enumerate(rows) for column, value in enumerate(cells))
        + end
        for rows in sheets.values()
    ]
    head = begin(0x0005) + record(0x0042, struct.pack("<H", 1252))
    offset = len(head) + sum(4 + 7 + len(name) for name in sheets) + len(end)
    for name, part in zip(sheets, parts, strict=True):
        head += record(0x0085, struct.pack("<IBBB", offset, 0, 0, len(name)) + name.encode())
        offset += len(part)
    return head + end + b"".join(parts)


def answers() -> dict[str, object]:
    """Return the answers of all three publishers, by path."""
    rates = {
        f"{NYFED}/{group}/{rate}/search.json": nyfed(rate.upper())
        for group, rate in (("unsecured", "effr"), ("secured", "sofr"))
    }
    workbooks = {path: eia_workbook(code) for code, path in WORKBOOKS.items()}
    return {VIX: vix(), **rates, **workbooks, **{f"{EIA_API}/{route}/data/": eia_api() for route in ROUTES.values()}}

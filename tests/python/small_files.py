"""Small files of the World Bank, of two indices of uncertainty, and of EPA's application, for `publishers.Publishers`.

The values are made up, the formats are the publishers'.
"""

import io
from collections.abc import Callable, Iterable
from datetime import date, timedelta

import openpyxl
import pandas as pd
import xlwt
from publishers import csv_text

TODAY = date.today()
UPDATED = TODAY - timedelta(days=3)
MONTHS = pd.date_range(end=UPDATED.replace(day=1) - timedelta(days=1), periods=40, freq="MS")
DAYS = pd.date_range(TODAY - timedelta(days=150), TODAY - timedelta(days=9))
WEEKS = pd.date_range("2019-12-02", "2021-02-22", freq="W-MON")
OILS = {"Palm oil": 900.0, "Soybean oil": 1100.0, "Rapeseed oil": 1300.0}

PAGE = "www.worldbank.org/en/research/commodity-markets"
WORKBOOK = "thedocs.worldbank.org/en/doc/0123abcd-0050012026/related/CMO-Historical-Data-Monthly.xlsx"
TPU = "www.policyuncertainty.com/media/All_Daily_TPU_Data.csv"
GPR = "www.matteoiacoviello.com/gpr_files/data_gpr_daily_recent.xls"
GPR_HEADER = ["DAY", "N10D", "GPRD", "GPRD_ACT", "GPRD_THREAT", "date", "GPRD_MA30", "GPRD_MA7", "event", "var_name"]
EPA_HEADER = "Transfer Date by Week,Transfer Year,RIN Year,Fuel (D Code),QAP Service Type,RIN Price"


def page(*links: str) -> str:
    """Return the World Bank's page with its links."""
    anchors = "".join(f'<li><a class="x" href="{link}" target="_self">Monthly prices (XLS)</a></li>' for link in links)
    return f'<!DOCTYPE html><html><body><a href="/x/CMO-Historical-Data-Annual.xlsx">y</a>{anchors}</body></html>'


def oil_price(name: str, month: pd.Timestamp) -> float:
    """Return the made-up price of an oil in a month."""
    return OILS[name] + 10 * month.month + month.year - 2000


def workbook(
    updated: str = f"Updated on {UPDATED:%B %d, %Y}",
    *,
    months: Iterable[pd.Timestamp] = MONTHS,
    names: tuple[str, ...] = ("Palm oil", "Soybean oil", "Rapeseed oil"),
    unit: str = "($/mt)",
    cells: dict[tuple[str, pd.Timestamp], object] | None = None,
    label: str = "%YM%m",
    sheet: str = "Monthly Prices",
    more: tuple[pd.Timestamp, float] | None = None,
    described: tuple[str, ...] = (
        "Palm oil (Malaysia), from February 2025, Crude, DAP; January 2021 to October 2024, RBD",
    ),
) -> bytes:
    """Return the pink sheet; `cells` replaces prices by (name, month), `more` is a last row of equal prices."""
    book = openpyxl.Workbook()
    book.active.title = "AFOSHEET"
    prices = book.create_sheet(sheet)
    for line in (
        "World Bank Commodity Price Data (The Pink Sheet)",
        "monthly prices in nominal US dollars",
        "",
        updated,
    ):
        prices.append([line])
    prices.append([None, "Crude oil, average", "Crude oil, Brent", *names])
    prices.append([None, "($/bbl)", "($/bbl)", *[unit for _ in names]])
    prices.append([None, "CRUDE_PETRO", "CRUDE_BRENT", *[name.upper().replace(" ", "_") for name in names]])
    plain = {name: " ".join(name.replace("*", "").split()).capitalize() for name in names}
    for month in months:
        row = [(cells or {}).get((name, month), oil_price(plain[name], month)) for name in names]
        prices.append([month.strftime(label), 70.5, "…", *row])
    if more:
        prices.append([more[0].strftime(label), 70.5, "…", *[more[1] for _ in names]])
    for text in described:
        book.create_sheet("Description") if "Description" not in book.sheetnames else None
        book["Description"].append(["   *", text, "World Bank."])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def index_value(day: pd.Timestamp) -> float:
    """Return the made-up value of an index of uncertainty; a zero now and then."""
    return 0.0 if day.day == 13 else 80.0 + day.day


def tpu(
    days: Iterable[pd.Timestamp] = DAYS,
    changed: dict[str, object] | None = None,
    header: tuple[str, ...] = ("day", "month", "year", "daily_tpu_index"),
    more: tuple[pd.Timestamp, float] | None = None,
) -> str:
    """Return the file of trade policy uncertainty, with changed values by day and perhaps one more line."""
    values = [(day, (changed or {}).get(f"{day:%Y-%m-%d}", index_value(day))) for day in days] + (
        [more] if more else []
    )
    return csv_text([list(header), *([day.day, day.month, day.year, value] for day, value in values)])


def gpr(
    days: Iterable[pd.Timestamp] = DAYS,
    changed: dict[str, object] | None = None,
    header: list[str] = GPR_HEADER,
    write_day: Callable[[pd.Timestamp], object] = lambda day: int(f"{day:%Y%m%d}"),
    more: tuple[pd.Timestamp, float] | None = None,
) -> bytes:
    """Return the workbook of geopolitical risk, with changed values by day and perhaps one more row."""
    book = xlwt.Workbook()
    sheet = book.add_sheet("Sheet1")
    dated = xlwt.easyxf(num_format_str="DD/MM/YYYY")
    for column, name in enumerate(header):
        sheet.write(0, column, name)
    values = [(day, (changed or {}).get(f"{day:%Y-%m-%d}", index_value(day))) for day in days] + (
        [more] if more else []
    )
    for number, (day, value) in enumerate(values, start=1):
        row = [write_day(day), 400, value, 2 * index_value(day), 3.0, day.to_pydatetime(), 4.0, 5.0, "", "DAY"]
        for column, cell in enumerate(row[: len(header)]):
            sheet.write(number, column, cell, *([dated] if column == 5 else []))
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


def rin_price(d_code: str, week: pd.Timestamp) -> float:
    """Return the made-up unverified price of RINs of the current year."""
    return round(int(d_code[1]) / 10 + week.dayofyear / 1000, 2)


def epa(weeks: Iterable[pd.Timestamp] = WEEKS, changed: dict[tuple[str, str], str] | None = None) -> str:
    """Return EPA's exported table: for each week RINs of two years, other codes, and verified ones at other prices.

    A week in two years has a row for each; the second has a price of its own.
    """
    lines = [EPA_HEADER]
    for week in weeks:
        for d_code in ("D3", "D4", "D6"):
            price = (changed or {}).get((d_code, f"{week:%Y-%m-%d}"), f"${rin_price(d_code, week):.2f}")
            for year in sorted({week.year, (week + pd.Timedelta(days=6)).year}):
                for rin_year, service, text in (
                    (week.year - 1, "Unverified", "$9.01"),
                    (year, "Q-RIN", "$9.02"),
                    (year, "Unverified", price if year == week.year else "$9.03"),
                    *([(week.year, "Unverified", "$9.04")] if year != week.year else []),
                ):
                    cells = [f"{week.month}/{week.day}/{week.year}", str(year), str(rin_year), d_code, service, text]
                    lines.append(",".join(f'"{cell}"' for cell in cells))
    return "\n".join([*lines, ""])


def answers() -> dict[str, object]:
    """Return the answers of the three publishers, by path."""
    return {PAGE: page(f"https://{WORKBOOK}"), WORKBOOK: workbook(), TPU: tpu(), GPR: gpr()}

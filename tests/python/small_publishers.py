"""Small FRED, ECB and CFTC for `publishers.Publishers`: a hundred days of made-up values in the publishers' formats."""

import json
from collections.abc import Callable
from datetime import date, timedelta

import pandas as pd
import small_files
import small_policy
import small_rates
import small_usda
from publishers import Answer, csv_text, zipped

TODAY = date.today()
FIRST = TODAY - timedelta(days=150)
BUSINESS_DAYS = pd.bdate_range(FIRST, TODAY - timedelta(days=4))
EVERY_DAY = pd.date_range(FIRST, TODAY - timedelta(days=4))
FRIDAYS = pd.date_range(FIRST, TODAY - timedelta(days=8), freq="W-FRI")
TUESDAYS = pd.date_range(FIRST, TODAY - timedelta(days=6), freq="W-TUE")
DAYS = dict.fromkeys(("DFF", "DFEDTARU", "USEPUINDXD"), EVERY_DAY) | dict.fromkeys(("NFCI", "STLFSI4"), FRIDAYS)
CURRENCIES = ("USD", "BRL", "CNY", "MXN", "MYR", "AUD", "CAD")
CONTRACTS = ("007601", "005602", "026603")

GRAPH = "fred.stlouisfed.org/graph/fredgraph.csv"
FRED_API = "api.stlouisfed.org/fred/series"
ECB_API = f"data-api.ecb.europa.eu/service/data/EXR/D.{'+'.join(CURRENCIES)}.EUR.SP00.A"
ECB_HISTORY = "www.ecb.europa.eu/stats/eurofxref/eurofxref-hist.zip"
COT_API = "publicreporting.cftc.gov/resource/6dca-aqww.json"
COT_WEEK = "www.cftc.gov/dea/newcot/deafut.txt"
COT_HEADER = (
    '"Market and Exchange Names","As of Date in Form YYMMDD","As of Date in Form YYYY-MM-DD","CFTC Contract Market Code",'
    '"CFTC Market Code in Initials","CFTC Region Code","CFTC Commodity Code","Open Interest (All)",'
    '"Noncommercial Positions-Long (All)","Noncommercial Positions-Short (All)","Noncommercial Positions-Spreading (All)",'
    '"Commercial Positions-Long (All)","Commercial Positions-Short (All)"," Total Reportable Positions-Long (All)",'
    '"Total Reportable Positions-Short (All)","Nonreportable Positions-Long (All)","Nonreportable Positions-Short (All)"'
)


def cot_year(year: int) -> str:
    """Return the path of a yearly file."""
    return f"www.cftc.gov/files/dea/history/deacot{year}.zip"


def value(code: str, day: pd.Timestamp) -> float:
    """Return the made-up value of a series or currency on a day."""
    return round(1 + (sum(map(ord, code)) % 7) / 10 + (day.dayofyear % 50) / 100, 4)


def graph(
    changed: dict[tuple[str, str], float] | None = None, last: date | None = None, header: str = "observation_date"
) -> Callable[[dict[str, str]], str]:
    """Return FRED's fredgraph.csv, with changed values by (series, day)."""

    def respond(query: dict[str, str]) -> str:
        code = query["id"]
        days = [day for day in DAYS.get(code, BUSINESS_DAYS) if f"{day:%Y-%m-%d}" >= query["cosd"]]
        rows = [
            [f"{day:%Y-%m-%d}", (changed or {}).get((code, f"{day:%Y-%m-%d}"), value(code, day))]
            for day in days
            if last is None or day.date() <= last
        ]
        return csv_text([[header, code], *rows])

    return respond


def vintages(rows: dict[str, list[tuple[str, str, str, str]]]) -> dict[str, Callable[[dict[str, str]], str]]:
    """Return FRED's API with vintages, by series: (date, realtime_start, realtime_end, value).

    As FRED does, it cuts realtime_start and realtime_end at the edges of the window that is asked for, refuses windows
    of more than 2,000 vintages and never sends more rows than its limit.
    """

    def dates(code: str) -> list[str]:
        return sorted({start for _, start, _, _ in rows[code]})

    def page(query: dict[str, str], name: str, found: list) -> str:
        offset, limit = int(query["offset"]), int(query["limit"])
        return json.dumps({"count": len(found), "offset": offset, "limit": limit, name: found[offset : offset + limit]})

    def vintagedates(query: dict[str, str]) -> str:
        return page(query, "vintage_dates", dates(query["series_id"]))

    def observations(query: dict[str, str]) -> Answer | str:
        start, end = query["realtime_start"], query["realtime_end"]
        if sum(start <= day <= end for day in dates(query["series_id"])) > 2000:
            text = "exceeds the maximum number of vintage dates allowed (2000)"
            return Answer(json.dumps({"error_code": 400, "error_message": text}), 400)
        found = [
            {"realtime_start": max(first, start), "realtime_end": min(last, end), "date": day, "value": text}
            for day, first, last, text in rows[query["series_id"]]
            if first <= end and last >= start and day >= query["observation_start"]
        ]
        return page(query, "observations", found)

    return {f"{FRED_API}/vintagedates": vintagedates, f"{FRED_API}/observations": observations}


def ecb_api(query: dict[str, str]) -> str:
    """Return the ECB's data API."""
    rows = [
        [f"EXR.D.{currency}.EUR.SP00.A", "D", currency, "EUR", f"{day:%Y-%m-%d}", value(currency, day)]
        for currency in CURRENCIES
        for day in BUSINESS_DAYS
        if f"{day:%Y-%m-%d}" >= query["startPeriod"]
    ]
    return csv_text([["KEY", "FREQ", "CURRENCY", "CURRENCY_DENOM", "TIME_PERIOD", "OBS_VALUE"], *rows])


def ecb_history() -> bytes:
    """Return the ECB's zip file: newest first, another currency without rates, a comma at the end of each line."""
    rows = [[f"{day:%Y-%m-%d}", *(value(code, day) for code in CURRENCIES), "N/A", ""] for day in BUSINESS_DAYS[::-1]]
    return zipped("eurofxref-hist.csv", csv_text([["Date", *CURRENCIES, "RUB", ""], *rows]))


def positions(code: str, day: pd.Timestamp) -> dict[str, int]:
    """Return the made-up report of a contract."""
    long = 90_000 + 100 * day.dayofyear + int(code)
    return {"long": long, "short": 80_000, "reportable": long + 250_000, "other": 40_000, "all": long + 290_000}


def cot_rows() -> list[dict[str, str]]:
    """Return the rows of the CFTC's interface, in which numbers are text."""
    return [
        {
            "cftc_contract_market_code": code,
            "report_date_as_yyyy_mm_dd": f"{day:%Y-%m-%d}T00:00:00.000",
            "open_interest_all": str(found["all"]),
            "noncomm_positions_long_all": str(found["long"]),
            "noncomm_positions_short_all": str(found["short"]),
            "tot_rept_positions_long_all": str(found["reportable"]),
            "nonrept_positions_long_all": str(found["other"]),
            "futonly_or_combined": "FutOnly",
        }
        for day in TUESDAYS
        for code in CONTRACTS
        for found in [positions(code, day)]
    ]


def cot_api(page_rows: int = 50_000) -> Callable[[dict[str, str]], str]:
    """Return the CFTC's interface; it sends at most `page_rows`, whatever limit is asked for."""

    def respond(query: dict[str, str]) -> str:
        since = query["$where"].rsplit("'", 2)[1][:10]
        found = [row for row in cot_rows() if row["report_date_as_yyyy_mm_dd"][:10] >= since]
        offset = int(query["$offset"])
        return json.dumps(found[offset : offset + min(page_rows, int(query["$limit"]))])

    return respond


def cot_text(days: pd.DatetimeIndex, header: str = COT_HEADER) -> str:
    """Return the CFTC's yearly file as text: padded values, codes without quotes, a market of another name."""
    lines = [header] if header else []
    for day in days[::-1]:
        for code in (*CONTRACTS, "001602"):
            found = positions(code, day)
            numbers = [found["all"], found["long"], found["short"], 1000, 2000, 3000]
            numbers += [found["reportable"], 5000, found["other"], 6000]
            lines.append(
                f'"RENAMED MARKET - CHICAGO BOARD OF TRADE ",{day:%y%m%d},{day:%Y-%m-%d},{code} ,CBT ,00 ,007 ,'
                + ",".join(f"{number:9}" for number in numbers)
            )
    return "\r\n".join([*lines, ""])


def cot_files() -> dict[str, object]:
    """Return the CFTC's yearly files and the file of the current week, by path."""
    years = range(TODAY.year - 2, TODAY.year + 1)  # a later pull reads 400 days
    files: dict[str, object] = {
        cot_year(year): zipped("annual.txt", cot_text(TUESDAYS[TUESDAYS.year == year])) for year in years
    }
    return files | {COT_WEEK: cot_text(TUESDAYS[-1:], header="")}


def everything() -> dict[str, object]:
    """Return the answers of all publishers, without a key of FRED."""
    own = {GRAPH: graph(), ECB_API: ecb_api, ECB_HISTORY: ecb_history(), COT_API: cot_api(), **cot_files()}
    own |= small_files.answers() | small_policy.everything()
    return own | small_rates.answers() | small_usda.everything()

"""A simulated market behind the formats of publishers that need no key.

Yahoo, FRED, the ECB, the CFTC, the World Bank, and the indices of trade policy uncertainty and geopolitical risk.
`with Publishers(answers(market))` makes `zl ingest` land that market as if it were real.
"""

import json
from collections.abc import Callable

import pandas as pd
import small_files
from publishers import csv_text

from zl_forecast.ingest.bars.futures import futures
from zl_forecast.ingest.bars.sessions import instruments
from zl_forecast.ingest.sources import load_series
from zl_forecast.sample import Market

YAHOO = "query2.finance.yahoo.com/v8/finance/chart"
PRICES = ("open", "high", "low", "close")
SPECULATORS_SHORT = 200_000


def answers(market: Market) -> dict[str, object]:
    """Return the answers of all publishers, by path."""
    newest = market.series.sort_values("available_on").groupby(["series_id", "obs_date"])["value"].last()
    values = {series_id: newest[series_id].sort_index() for series_id in newest.index.levels[0]}
    currencies = load_series("ecb")["publisher_code"]
    return {
        "query1.finance.yahoo.com/v1/test/getcrumb": "crumb",
        **{f"{YAHOO}/{symbol}=F": _chart(symbol, market.bars) for symbol in futures()},
        "fred.stlouisfed.org/graph/fredgraph.csv": _graph(values),
        f"data-api.ecb.europa.eu/service/data/EXR/D.{'+'.join(currencies)}.EUR.SP00.A": _rates(values, currencies),
        "publicreporting.cftc.gov/resource/6dca-aqww.json": _reports(values),
        **small_files.answers(),
        small_files.WORKBOOK: _pink_sheet(values),
        small_files.TPU: small_files.tpu(values["TPU_BBD_DAILY"].index, _by_day(values["TPU_BBD_DAILY"])),
        small_files.GPR: small_files.gpr(values["GPRD"].index, _by_day(values["GPRD"])),
    }


def _chart(symbol: str, bars: pd.DataFrame) -> Callable[[dict[str, str]], str]:
    own = bars[bars["symbol"] == symbol].sort_values("as_of_date")
    stamps = (own["as_of_date"].dt.tz_localize("America/Chicago").astype("int64") // 1_000_000_000).to_numpy()
    in_cents = instruments().at[symbol, "unit"].startswith("US cents")
    meta = {"currency": "USX" if in_cents else "USD", "symbol": f"{symbol}=F", "dataGranularity": "1d"}
    meta |= {
        "exchangeTimezoneName": "America/Chicago",
        "gmtoffset": -21600,
        "instrumentType": "FUTURE",
        "validRanges": ["1d"],
    }

    def respond(query: dict[str, str]) -> str:
        is_wanted = stamps >= int(query.get("period1", 0))  # none when the library asks for the time zone
        wanted = own[is_wanted]
        quote = {name: wanted[name].tolist() for name in (*PRICES, "volume")}
        result = {
            "meta": meta,
            "timestamp": stamps[is_wanted].tolist(),
            "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]},
        }
        return json.dumps({"chart": {"result": [result], "error": None}})

    return respond


def _graph(values: dict[str, pd.Series]) -> Callable[[dict[str, str]], str]:
    def respond(query: dict[str, str]) -> str:
        own = values[query["id"]][query["cosd"] :]
        return csv_text(
            [["observation_date", query["id"]], *([f"{day:%Y-%m-%d}", float(own[day])] for day in own.index)]
        )

    return respond


def _rates(values: dict[str, pd.Series], currencies: pd.Series) -> Callable[[dict[str, str]], str]:
    def respond(query: dict[str, str]) -> str:
        rows = [
            [f"EXR.D.{currency}.EUR.SP00.A", currency, f"{day:%Y-%m-%d}", rate]
            for series_id, currency in currencies.items()
            for day, rate in values[series_id][query["startPeriod"] :].items()
        ]
        return csv_text([["KEY", "CURRENCY", "TIME_PERIOD", "OBS_VALUE"], *rows])

    return respond


def _reports(values: dict[str, pd.Series]) -> Callable[[dict[str, str]], str]:
    contracts = sorted({code for series_id, code in load_series("cftc")["publisher_code"].items()})

    def respond(query: dict[str, str]) -> str:
        since = query["$where"].rsplit("'", 2)[1][:10]
        rows = []
        for code in contracts:
            net, total = (values[f"COT_LEG_FUT_{code}_{name}"] for name in ("NONCOMM_NET", "OI"))
            for day in net[since:].index:
                long = int(net[day]) + SPECULATORS_SHORT
                rows.append(
                    {
                        "cftc_contract_market_code": code,
                        "report_date_as_yyyy_mm_dd": f"{day:%Y-%m-%d}T00:00:00.000",
                        "open_interest_all": str(int(total[day])),
                        "noncomm_positions_long_all": str(long),
                        "noncomm_positions_short_all": str(SPECULATORS_SHORT),
                        "tot_rept_positions_long_all": str(int(total[day])),
                        "nonrept_positions_long_all": "0",
                        "futonly_or_combined": "FutOnly",
                    }
                )
        offset = int(query["$offset"])
        return json.dumps(rows[offset : offset + int(query["$limit"])])

    return respond


def _by_day(values: pd.Series) -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": float(value) for day, value in values.items()}


def _pink_sheet(values: dict[str, pd.Series]) -> bytes:
    oils = {name: values[f"WB_{name.upper().replace(' ', '_')}"] for name in small_files.OILS}
    cells = {(name, month): float(price) for name, prices in oils.items() for month, price in prices.items()}
    return small_files.workbook(months=oils["Palm oil"].index, cells=cells)

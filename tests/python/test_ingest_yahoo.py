"""Yahoo's bars, through yfinance, on its wire format: units, unfinished sessions, gaps, refusals, and who comes first."""

import gzip
import json
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from publishers import Answer, Publishers

from zl_forecast.ingest import ingest
from zl_forecast.ingest.adapters import yahoo
from zl_forecast.ingest.bars.futures import futures
from zl_forecast.ingest.bars.sessions import sessions_of

CHART = "query2.finance.yahoo.com/v8/finance/chart"
TODAY = pd.Timestamp("2024-07-10")  # a Wednesday
SESSIONS = sessions_of("ZL", pd.Timestamp("2024-06-03"), TODAY)


def chart(
    symbol: str = "ZL",
    *,
    price: float = 45.0,
    currency: str = "USX",
    days=SESSIONS,
    edit: dict[str, dict] | None = None,
    live: tuple[str, float] | None = None,
) -> str:
    """Return a chart as Yahoo sends it.

    Parameters
    ----------
    symbol, price, currency
        Of the future; the closes rise by 0.01 per session from `price` on.
    days : sequence of Timestamp
        Sessions, stamped with their midnight in Chicago.
    edit : dict
        By day (YYYY-MM-DD): values that replace those of the row.
    live : (instant in Chicago, price), optional
        A last row with the time of the newest trade.
    """
    rows = [
        {"stamp": day.tz_localize("America/Chicago"), "close": round(price + number / 100, 4), "volume": 1000 + number}
        for number, day in enumerate(days)
    ]
    for row in rows:
        row |= {"open": row["close"] - 0.1, "high": row["close"] + 0.2, "low": row["close"] - 0.2}
        row |= (edit or {}).get(f"{row['stamp']:%Y-%m-%d}", {})
    if live:
        stamp = pd.Timestamp(live[0], tz="America/Chicago")
        rows.append({"stamp": stamp, **dict.fromkeys(["open", "high", "low", "close"], live[1]), "volume": 5})
    names = ("open", "high", "low", "close", "volume")
    meta = {
        "currency": currency,
        "symbol": f"{symbol}=F",
        "exchangeName": "CBT",
        "instrumentType": "FUTURE",
        "gmtoffset": -18000,
        "exchangeTimezoneName": "America/Chicago",
        "priceHint": 2,
        "dataGranularity": "1d",
        "validRanges": ["1d", "max"],
    }
    result = {
        "meta": meta,
        "timestamp": [int(row["stamp"].timestamp()) for row in rows],
        "indicators": {
            "quote": [{name: [row[name] for row in rows] for name in names}],
            "adjclose": [{"adjclose": [row["close"] for row in rows]}],
        },
    }
    return json.dumps({"chart": {"result": [result], "error": None}})


@pytest.fixture
def publishers(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.setattr(yahoo, "FIRST_WAIT_SECONDS", 0.01)
    monkeypatch.setattr(yahoo, "_today", lambda time_zone: TODAY)
    monkeypatch.setattr(yahoo, "futures", lambda: {"ZL": futures()["ZL"]})
    with Publishers({f"{CHART}/ZL=F": chart(), "query1.finance.yahoo.com/v1/test/getcrumb": "crumb"}) as server:
        yield server


def _ingest(**options):
    (outcome,) = ingest(["yahoo"], history_from=date(2024, 6, 1), **options)
    return outcome


def _landed(tmp_path: Path) -> pd.DataFrame:
    rows = pd.read_parquet(tmp_path / "landing" / "bars_daily_yahoo.parquet")
    return rows.assign(as_of_date=rows["as_of_date"].astype(str)).set_index("as_of_date")


def test_bars_are_landed_without_contracts_and_the_outcome_says_so(publishers, tmp_path):
    outcome = _ingest()
    assert (outcome.state, str(outcome.newest_on)) == ("landed", "2024-07-09")
    bars = _landed(tmp_path)
    assert len(bars) == len(SESSIONS) - 1
    assert bars["contract_id"].isna().all()
    assert bars.loc["2024-06-03", ["open", "high", "low", "close", "volume"]].tolist() == pytest.approx(
        [44.9, 45.2, 44.8, 45.0, 1000]
    )
    assert "no contract_id: rolls are unknown" in outcome.reason
    assert "no carry" in outcome.reason


def test_in_the_evening_the_running_session_does_not_replace_the_day_that_has_ended(publishers, tmp_path, monkeypatch):
    evening = chart(days=SESSIONS, live=("2024-07-10 19:30", 99.0))  # Yahoo dates it 10 July, though it is the 11th's
    publishers.answers[f"{CHART}/ZL=F"] = evening
    assert str(_ingest().newest_on) == "2024-07-09"
    tomorrow = pd.Timestamp("2024-07-11")
    monkeypatch.setattr(yahoo, "_today", lambda time_zone: tomorrow)
    publishers.answers[f"{CHART}/ZL=F"] = chart(days=SESSIONS, live=("2024-07-11 09:00", 99.0))
    assert str(_ingest().newest_on) == "2024-07-10"
    bars = _landed(tmp_path)
    assert bars.loc["2024-07-10", "close"] == pytest.approx(45.0 + (len(SESSIONS) - 1) / 100)
    assert 99.0 not in bars["close"].tolist()


@pytest.mark.parametrize(
    ("symbol", "currency", "price", "expected"),
    [
        ("ZL", "USX", 45.0, 45.0),
        ("ZL", "USD", 0.45, 45.0),
        ("CL", "USD", 80.0, 80.0),
        ("CL", "USX", 8000.0, 80.0),
        ("6J", "USD", 0.0067, 0.0067),
    ],
)
def test_prices_are_in_the_unit_of_the_registry(publishers, tmp_path, monkeypatch, symbol, currency, price, expected):
    monkeypatch.setattr(yahoo, "futures", lambda: {symbol: futures()[symbol]})
    publishers.answers[f"{CHART}/{symbol}=F"] = chart(symbol, price=price, currency=currency)
    _ingest()
    assert _landed(tmp_path)["close"].iloc[0] == pytest.approx(expected)


def test_another_currency_is_refused(publishers):
    publishers.answers[f"{CHART}/ZL=F"] = chart(currency="EUR")
    outcome = _ingest()
    assert outcome.state == "failed"
    assert "Yahoo quotes it in EUR" in outcome.reason


def test_nulls_holidays_and_missing_sessions_make_no_bar_and_are_named(publishers, tmp_path):
    null = dict.fromkeys(["open", "high", "low", "close", "volume"])
    days = SESSIONS.drop(pd.Timestamp("2024-06-20")).insert(22, pd.Timestamp("2024-07-04")).sort_values()
    publishers.answers[f"{CHART}/ZL=F"] = chart(
        days=days, edit={"2024-06-12": null, "2024-06-13": {"volume": 0}, "2024-07-05": {"open": None}}
    )
    outcome = _ingest()
    bars = _landed(tmp_path)
    assert set(SESSIONS[:-1].strftime("%Y-%m-%d")) - set(bars.index) == {"2024-06-12", "2024-06-20", "2024-07-05"}
    assert "2024-07-04" not in bars.index
    assert pd.isna(bars.loc["2024-06-13", "volume"])
    assert "ZL: 2 sessions without prices: 2024-06-12, 2024-07-05" in outcome.reason
    assert "ZL: no bar on 3 sessions: 2024-06-12, 2024-06-20, 2024-07-05" in outcome.reason


def test_misprints_are_left_out_and_a_real_jump_waits_for_a_second_session(publishers, tmp_path, monkeypatch):
    edit = {"2024-06-12": {"close": 450.0}, "2024-06-14": {"low": 0.0}, "2024-07-09": {"close": 90.0}}
    publishers.answers[f"{CHART}/ZL=F"] = chart(edit=edit)
    outcome = _ingest()
    bars = _landed(tmp_path)
    assert {"2024-06-12", "2024-07-09"}.isdisjoint(bars.index)
    assert pd.isna(bars.loc["2024-06-14", "low"])
    assert "ZL: 2 bars left out" in outcome.reason
    assert "2024-06-12, 2024-07-09" in outcome.reason
    monkeypatch.setattr(yahoo, "_today", lambda time_zone: TODAY + pd.Timedelta(days=1))
    publishers.answers[f"{CHART}/ZL=F"] = chart(edit=edit | {"2024-07-10": {"close": 91.0}})
    _ingest()
    assert _landed(tmp_path).loc["2024-07-09":, "close"].tolist() == [90.0, 91.0]


def test_a_session_that_yahoo_loses_later_stays_and_a_corrected_price_replaces_the_last_trade(publishers, tmp_path):
    _ingest()
    shorter = SESSIONS.drop(pd.Timestamp("2024-06-28"))
    publishers.answers[f"{CHART}/ZL=F"] = chart(days=SESSIONS, edit={"2024-07-09": {"close": 45.11}})
    outcome = _ingest()
    assert (outcome.n_new, outcome.n_revised) == (0, 1)
    assert _landed(tmp_path).loc["2024-07-09", "close"] == 45.11
    publishers.answers[f"{CHART}/ZL=F"] = chart(days=shorter)
    _ingest()
    assert "2024-06-28" in _landed(tmp_path).index


def test_a_second_run_changes_nothing_and_reads_only_the_recent_past(publishers, tmp_path):
    _ingest()
    file = tmp_path / "landing" / "bars_daily_yahoo.parquet"
    before = (file.stat().st_mtime_ns, file.read_bytes())
    publishers.requests.clear()
    (outcome,) = ingest(["yahoo"], history_from=date(2024, 1, 1))
    assert outcome.state == "unchanged"
    assert (file.stat().st_mtime_ns, file.read_bytes()) == before
    (start,) = {query["period1"] for path, query in publishers.requests if path.endswith("ZL=F") and "period1" in query}
    assert pd.Timestamp(int(start), unit="s").date() == date(2024, 5, 30)  # 40 days before the newest bar


def test_what_yahoo_sent_is_kept(publishers, tmp_path):
    _ingest()
    bodies = [
        gzip.decompress(path.read_bytes()).decode()
        for path in (tmp_path / "data" / "ingest" / "raw" / "yahoo").iterdir()
    ]
    assert chart() in bodies


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (Answer("Too Many Requests", 429), "Yahoo answers no request"),
        (
            Answer(
                '{"chart": {"result": null, "error": {"code": "Not Found", "description": "No data found, symbol may be delisted"}}}',
                404,
            ),
            "No data found",
        ),
        (Answer("<html>Will be right back</html>"), "is not understood"),
        (Answer("<html>consent</html>"), "is not understood"),
        (Answer(""), "is not understood"),
        (Answer(chart(), missing_bytes=100), "Yahoo answers no request"),
        (Answer('{"chart": {"result": [{"meta": {}}], "error": null}}'), "is not understood"),
    ],
)
def test_a_refusal_or_another_format_lands_nothing_and_leaves_what_was_landed(publishers, tmp_path, answer, says):
    _ingest()
    before = (tmp_path / "landing" / "bars_daily_yahoo.parquet").read_bytes()
    publishers.answers[f"{CHART}/ZL=F"] = answer
    outcome = _ingest()
    assert outcome.state in ("failed", "partial")
    assert says in outcome.reason
    assert (tmp_path / "landing" / "bars_daily_yahoo.parquet").read_bytes() == before


def test_a_refusal_that_passes_is_tried_again(publishers, tmp_path):
    publishers.answers[f"{CHART}/ZL=F"] = [Answer("Too Many Requests", 429)] * 3 + [chart()]
    assert _ingest().state == "landed"


def test_one_symbol_that_fails_leaves_the_others_landed(publishers, tmp_path, monkeypatch):
    monkeypatch.setattr(yahoo, "futures", lambda: {name: futures()[name] for name in ("ZL", "ZS")})
    publishers.answers[f"{CHART}/ZS=F"] = Answer('{"chart": {"result": null, "error": null}}', 404)
    outcome = _ingest()
    assert outcome.state == "partial"
    assert set(_landed(tmp_path)["symbol"]) == {"ZL"}


def test_a_symbol_that_another_file_supplies_is_not_asked_for(publishers, tmp_path):
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "bars_daily_mine.csv").write_text(
        "symbol,as_of_date,open,high,low,close,volume,contract_id\nZL,2024-07-09,45,45,45,45,1,ZLZ24\n"
    )
    outcome = _ingest()
    assert outcome.state == "skipped"
    assert not [path for path in publishers.paths() if "chart" in path]
    assert not (tmp_path / "landing" / "bars_daily_yahoo.parquet").exists()


def test_a_source_with_a_lower_rank_takes_the_symbol_over(publishers, tmp_path):
    _ingest()
    folder = tmp_path / "data" / "csv"
    folder.mkdir(parents=True)
    days = "".join(f"{day:%Y-%m-%d},45,45.5,44.5,45.1\n" for day in SESSIONS[:-1])
    (folder / "x.csv").write_text(f"Date,Open,High,Low,Close\n{days}")
    columns = "".join(f'{name.lower()} = "{name}"\n' for name in ("Date", "Open", "High", "Low", "Close"))
    (folder / "x.toml").write_text(f'files = "x.csv"\nsymbol = "ZL"\n[columns]\n{columns}')
    ingest(["own_csv"])
    assert not (tmp_path / "landing" / "bars_daily_yahoo.parquet").exists()
    assert len(pd.read_parquet(tmp_path / "landing" / "bars_daily_own_csv.parquet")) == len(SESSIONS) - 1
    assert _ingest().state == "skipped"

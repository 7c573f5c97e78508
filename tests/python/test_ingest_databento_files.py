"""Databento's files become daily bars and the curve: trade dates, rolls, missing days, damage, and equality with the real bars."""

import hashlib
import json
from datetime import date
from pathlib import Path

import databento
import numpy as np
import pandas as pd
import pytest
import zstandard
from databento_dbn import SType
from dbn_files import hours_of, write_dbn

from zl_forecast.errors import LandingError
from zl_forecast.ingest.bars.databento_files import read_folder
from zl_forecast.ingest.bars.futures import contract_month, futures, parse_symbol
from zl_forecast.ingest.bars.rolls import front_by_volume, repair_continuous
from zl_forecast.ingest.bars.trade_dates import trade_dates

SESSION_HOURS = 4
SPAN = {"start": "2024-02-01", "end": "2024-04-01"}


def _session(day: str, text: str, instrument: int, close: float, volume: int) -> list[dict]:
    """The evening before from 19:00 and the morning from 8:30, as ZL trades; a quarter of the volume per hour."""
    evening = (pd.Timestamp(day) - pd.Timedelta(days=1)).strftime("%Y-%m-%d")
    volume = volume // SESSION_HOURS
    return [
        *hours_of(evening, text, instrument, [close - 0.3, close - 0.2], volume=volume, first="19:00"),
        *hours_of(day, text, instrument, [close - 0.1, close], volume=volume, first="08:00"),
    ]


def _two_contracts(volumes: dict[str, tuple[int, int]]) -> pd.DataFrame:
    rows = []
    for day, (march, may) in volumes.items():
        rows += _session(day, "ZLH4", 1, 45.0, march) + _session(day, "ZLK4", 2, 46.0, may)
        rows += _session(day, "ZLH4-ZLK4", 3, -1.0, 400)  # a spread, with a negative price
    return pd.DataFrame(rows)


# ---------------------------------------------------------------- trade dates


def test_the_clock_of_chicago_decides_in_winter_and_in_summer():
    instants = pd.to_datetime(
        pd.Series(
            ["2024-03-08T22:59Z", "2024-03-08T23:00Z", "2024-03-10T21:59Z", "2024-03-10T22:00Z", "2024-11-03T23:00Z"]
        )
    )
    expected = ["2024-03-08", "2024-03-09", "2024-03-10", "2024-03-11", "2024-11-04"]
    assert trade_dates(instants).dt.strftime("%Y-%m-%d").tolist() == expected


def test_an_evening_belongs_to_the_next_day_and_a_sunday_evening_to_monday(tmp_path):
    rows = []
    for day in ("2024-03-07", "2024-03-08", "2024-03-11"):  # the clock changes on 10 March
        rows += _session(day, "ZLH4", 1, 45.0, 400)
    read = write_and_read(tmp_path, pd.DataFrame(rows))
    assert read.bars["as_of_date"].dt.strftime("%a %d").tolist() == [
        "Fri 08",
        "Mon 11",
    ]  # no front on the first session
    bar = read.bars.iloc[-1]
    assert (bar["open"], bar["high"], bar["low"], bar["close"], bar["volume"]) == (44.7, 45.0, 44.7, 45.0, 400)


def test_a_session_that_the_files_cover_in_part_is_left_out_and_named(tmp_path):
    rows = [row for day in ("2024-03-06", "2024-03-07", "2024-03-08") for row in _session(day, "ZLH4", 1, 45.0, 400)]
    bars = pd.DataFrame(rows)
    cut = bars[bars["ts_event"] < pd.Timestamp("2024-03-08 14:30", tz="UTC")]
    write_dbn(tmp_path / "x.dbn.zst", cut, start="2024-02-01", end="2024-03-08 15:00")
    read = read_folder(tmp_path)
    assert read.bars["as_of_date"].dt.day.tolist() == [7]
    assert any("2024-03-08: the files cover a part of the session" in note for note in read.notes)


def test_a_session_in_two_monthly_files_is_one_bar(tmp_path):
    rows = pd.DataFrame(
        [row for day in ("2024-02-28", "2024-02-29", "2024-03-01") for row in _session(day, "ZLH4", 1, 45.0, 400)]
        + hours_of("2024-02-29", "CLJ4", 4, [78.0, 79.0], volume=10, first="17:00")  # 23:00 and 24:00 UTC
        + hours_of("2024-02-28", "CLJ4", 4, [77.0], volume=10, first="12:00")
        + hours_of("2024-03-01", "CLJ4", 4, [80.0], volume=10, first="12:00")
    )
    midnight = pd.Timestamp("2024-03-01", tz="UTC")
    write_dbn(tmp_path / "a.dbn.zst", rows[rows["ts_event"] < midnight], start="2024-02-01", end="2024-03-01")
    write_dbn(tmp_path / "b.dbn.zst", rows[rows["ts_event"] >= midnight], start="2024-03-01", end="2024-04-01")
    crude = read_folder(tmp_path).bars.query("symbol == 'CL'").iloc[-1]
    assert (str(crude["as_of_date"].date()), crude["open"], crude["close"], crude["volume"]) == (
        "2024-03-01",
        78.0,
        80.0,
        30,
    )


# ---------------------------------------------------------------- rolls of single contracts, and the curve


def test_the_front_is_the_contract_that_traded_more_in_the_session_before_and_never_goes_back(tmp_path):
    volumes = {
        "2024-02-12": (800, 400),
        "2024-02-13": (400, 800),
        "2024-02-14": (800, 400),
        "2024-02-15": (800, 400),
    }
    read = write_and_read(tmp_path, _two_contracts(volumes))
    fronts = dict(zip(read.bars["as_of_date"].dt.day, read.bars["contract_id"], strict=True))
    assert fronts == {13: "ZLH24", 14: "ZLK24", 15: "ZLK24"}
    assert set(read.bars["close"]) == {45.0, 46.0}


def test_cutting_the_data_changes_no_earlier_front():
    sessions = pd.bdate_range("2024-01-02", periods=40)
    volumes = pd.DataFrame(
        {
            pd.Timestamp("2024-03-01"): [100 - number for number in range(40)],
            pd.Timestamp("2024-05-01"): [60 + (number * 37) % 50 for number in range(40)],
            pd.Timestamp("2024-07-01"): [20 + (number * 53) % 90 for number in range(40)],
        },
        index=sessions,
    )
    whole = front_by_volume(volumes, "HKN")
    assert whole.is_monotonic_increasing
    assert whole.nunique() == 3
    for cut in range(2, 40):
        pd.testing.assert_series_equal(front_by_volume(volumes.iloc[:cut], "HKN"), whole.iloc[: cut - 1])


def test_a_delivery_month_that_is_never_the_front_is_in_the_curve_only(tmp_path):
    rows = []
    for day in ("2024-02-12", "2024-02-13", "2024-02-14"):
        rows += _session(day, "ZSH4", 1, 1200.0, 400) + _session(day, "ZSJ4", 2, 1210.0, 8000)  # there is no April
    read = write_and_read(tmp_path, pd.DataFrame(rows))
    assert set(read.bars["contract_id"]) == {"ZSH24"}
    assert sorted(read.curve["contract_month"].dt.month.unique()) == [3, 4]


def test_federal_funds_roll_by_the_calendar(tmp_path):
    rows = []
    for day, delivery in (("2024-02-28", "G"), ("2024-02-29", "G"), ("2024-03-01", "H")):
        rows += _session(day, "ZQG4", 1, 94.67, 40) if delivery == "G" else []
        rows += _session(day, "ZQH4", 2, 94.67, 80) + _session(day, "ZQZ4", 3, 95.5, 800)
    read = write_and_read(tmp_path, pd.DataFrame(rows))
    assert read.bars["contract_id"].tolist() == ["ZQG24", "ZQG24", "ZQH24"]


def test_the_curve_has_every_contract_and_the_year_of_its_one_digit(tmp_path):
    volumes = {"2024-02-12": (800, 400), "2024-02-13": (800, 400)}
    rows = pd.concat([_two_contracts(volumes), pd.DataFrame(_session("2024-02-13", "ZLF5", 9, 47.0, 40))])
    curve = write_and_read(tmp_path, rows).curve
    newest = curve[curve["as_of_date"] == "2024-02-13"]
    assert newest["contract_month"].dt.strftime("%Y-%m").tolist() == ["2024-03", "2024-05", "2025-01"]
    assert newest["settle"].tolist() == [45.0, 46.0, 47.0]
    assert curve["open_interest"].isna().all()


def test_a_price_of_the_evening_before_is_not_in_the_curve(tmp_path):
    day = _two_contracts({"2024-02-12": (800, 400)})
    evening = pd.DataFrame(hours_of("2024-02-11", "ZLN4", 5, [50.0], volume=1, first="19:00"))
    curve = write_and_read(tmp_path, pd.concat([day, evening])).curve
    assert curve["contract_month"].dt.month.tolist() == [3, 5]


@pytest.mark.parametrize(
    ("text", "traded_on", "expected"),
    [
        ("ZLH4", date(2013, 9, 3), date(2014, 3, 1)),
        ("ZLH4", date(2023, 9, 3), date(2024, 3, 1)),
        ("ZLF0", date(2019, 12, 31), date(2020, 1, 1)),
        ("ZLZ9", date(2019, 12, 1), date(2019, 12, 1)),
        ("BOH24", date(2023, 9, 3), date(2024, 3, 1)),
        ("ZSF80", date(1979, 5, 1), date(1980, 1, 1)),
    ],
)
def test_the_year_of_a_contract_is_the_next_with_its_digits(text, traded_on, expected):
    assert contract_month(parse_symbol(text), traded_on) == expected


@pytest.mark.parametrize("text", ["ZLH4-ZLK4", "CL:SA 03M F1", "HO:BF K5-M5-N5", "SIZ0", "OZLH4 C4500", "ZL.v.0", ""])
def test_spreads_options_and_unknown_futures_are_no_contract(text):
    assert parse_symbol(text) is None


# ---------------------------------------------------------------- continuous symbols


def _continuous(fronts: dict[str, tuple[int, int]], text: str = "ZL.v.0") -> pd.DataFrame:
    rows = [_session(day, text, instrument, 40.0 + instrument, volume) for day, (instrument, volume) in fronts.items()]
    return pd.DataFrame([row for session in rows for row in session])


def _read_continuous(folder: Path, *frames: pd.DataFrame):
    names = {"stype_in": SType.CONTINUOUS, "symbols": ["ZL.v.0"]}
    write_dbn(folder / "x.dbn.zst", pd.concat(frames), **SPAN, **names)
    return read_folder(folder)


BACKWARD = {
    "2024-02-14": (1, 400),
    "2024-02-15": (2, 400),
    "2024-02-16": (1, 400),
    "2024-02-20": (2, 400),
}


def test_a_roll_that_goes_back_is_left_out_and_the_message_names_the_session(tmp_path):
    read = _read_continuous(tmp_path, _continuous(BACKWARD))
    assert dict(zip(read.bars["as_of_date"].dt.day, read.bars["contract_id"], strict=True)) == {
        14: "1",
        15: "2",
        20: "2",
    }
    (note,) = [note for note in read.notes if "rolls back" in note]
    assert "ZL" in note
    assert "1 session" in note
    assert "2024-02-16" in note
    assert read.curve.empty


def test_a_roll_that_goes_back_is_repaired_where_another_symbol_has_the_contract(tmp_path):
    second = _continuous({"2024-02-16": (2, 360)}, text="ZL.v.1")
    read = _read_continuous(tmp_path, _continuous(BACKWARD), second)
    assert read.bars["contract_id"].tolist() == ["1", "2", "2", "2"]
    assert read.bars.set_index(read.bars["as_of_date"].dt.day).loc[16, ["close", "volume"]].tolist() == [42.0, 360]
    assert any("2024-02-16" in note and "repaired" in note for note in read.notes)


def test_a_jump_to_a_contract_that_hardly_trades_is_left_out(tmp_path):
    days = pd.bdate_range("2024-02-01", periods=14).strftime("%Y-%m-%d")
    fronts = dict.fromkeys(days, (1, 4000)) | {days[12]: (7, 32)}
    read = _read_continuous(tmp_path, _continuous(fronts))
    assert set(read.bars["contract_id"]) == {"1"}
    assert len(read.bars) == 13
    assert any(days[12] in note for note in read.notes)


def test_a_contract_that_stays_is_the_front_again_after_three_sessions(tmp_path):
    days = pd.bdate_range("2024-02-05", periods=9).strftime("%Y-%m-%d")
    fronts = {day: (2 if number == 2 else 1, 400) for number, day in enumerate(days)}
    read = _read_continuous(tmp_path, _continuous(fronts))
    assert read.bars["contract_id"].tolist() == ["1", "1", "2", "1", "1", "1"]


def test_cutting_the_data_changes_no_earlier_bar_of_a_continuous_symbol():
    random = np.random.default_rng(3)
    days = pd.bdate_range("2023-01-02", periods=120)
    steps = random.choice([0, 0, 0, 0, 0, 1, -1, 2], size=120)
    fronts = pd.Series(np.maximum.accumulate(np.arange(120) // 20) + steps.clip(min=0) - (steps < 0), index=days)
    prices = {"open": 40.0, "high": 41.0, "low": 39.0, "close": 40.5}
    bars = pd.DataFrame(
        {"contract": fronts.to_numpy(), "as_of_date": days, "volume": random.integers(1, 1000, 120), **prices}
    )
    whole = repair_continuous(fronts, bars, "ZL")
    assert 5 < len(whole.left_out) < 60
    for cut in range(1, 120):
        part = repair_continuous(fronts.iloc[:cut], bars.iloc[:cut], "ZL")
        pd.testing.assert_frame_equal(part.bars, whole.bars[whole.bars["as_of_date"] < days[cut]])


def test_a_bar_of_a_continuous_symbol_has_one_contract_though_it_changes_at_midnight_utc(tmp_path):
    evening = hours_of("2024-02-14", "CL.v.0", 1, [70.0], volume=10, first="17:00")  # 23:00 UTC
    day = hours_of("2024-02-14", "CL.v.0", 2, [76.0, 77.0], volume=10, first="18:00")
    bars = pd.DataFrame(hours_of("2024-02-14", "CL.v.0", 1, [71.0], volume=90, first="09:00") + evening + day)
    write_dbn(tmp_path / "x.dbn.zst", bars, **SPAN, stype_in=SType.CONTINUOUS, symbols=["CL.v.0"])
    read = read_folder(tmp_path)
    newest = read.bars.iloc[-1]
    assert (newest["open"], newest["low"], newest["close"], newest["contract_id"]) == (76.0, 76.0, 77.0, "2")
    assert any("1 bar at rolls begin at 00:00 UTC" in note and "CL 1" in note for note in read.notes)


def test_single_contracts_come_before_a_continuous_symbol_and_the_sessions_before_them_are_named(tmp_path):
    write_dbn(
        tmp_path / "a.dbn.zst",
        _continuous({"2024-02-12": (1, 400), "2024-02-13": (1, 400), "2024-02-14": (1, 400)}),
        start="2024-02-01",
        end="2024-02-15",
        stype_in=SType.CONTINUOUS,
        symbols=["ZL.v.0"],
    )
    singles = _two_contracts(dict.fromkeys(["2024-02-14", "2024-02-15", "2024-02-16"], (800, 400)))
    write_dbn(tmp_path / "b.dbn.zst", singles, start="2024-02-13", end="2024-04-01")
    read = read_folder(tmp_path)
    assert read.bars["contract_id"].tolist() == ["ZLH24", "ZLH24"]
    assert any(
        "single contracts begin on 2024-02-14; the continuous symbol has 2 sessions before" in note
        for note in read.notes
    )


def test_hourly_intervals_come_before_daily_ones(tmp_path):
    hourly = _two_contracts(dict.fromkeys(["2024-02-12", "2024-02-13"], (800, 400)))
    write_dbn(tmp_path / "h.dbn.zst", hourly, **SPAN)
    day = pd.Timestamp("2024-02-13", tz="UTC")
    prices = dict.fromkeys(["open", "high", "low", "close"], 99.0)
    daily = pd.DataFrame([{"ts_event": day, "text": "ZLH4", "instrument_id": 1, **prices, "volume": 5}])
    write_dbn(tmp_path / "d.dbn.zst", daily, **SPAN, schema="1d")
    read = read_folder(tmp_path)
    assert read.bars["close"].tolist() == [45.0]
    assert "ZL: the files have intervals of several lengths; those of ohlcv-1h are read" in read.notes


def test_a_session_is_complete_by_the_files_of_its_own_bars_only(tmp_path):
    days = ["2024-02-12", "2024-02-13", "2024-02-14"]
    hourly = _two_contracts(dict.fromkeys(days, (800, 400)))
    write_dbn(
        tmp_path / "h.dbn.zst",
        hourly[hourly["ts_event"] < "2024-02-14 15:00"],
        start="2024-02-01",
        end="2024-02-14 15:00",
    )
    vendor = _continuous(dict.fromkeys(days, (1, 400)))
    write_dbn(tmp_path / "v.dbn.zst", vendor, **SPAN, stype_in=SType.CONTINUOUS, symbols=["ZL.v.0"])
    read = read_folder(tmp_path)
    assert read.bars["as_of_date"].dt.day.tolist() == [13]
    assert any("2024-02-14: the files cover a part of the session" in note for note in read.notes)


def test_bars_of_two_lengths_do_not_add_up(tmp_path):
    hourly = _two_contracts(dict.fromkeys(["2024-02-12", "2024-02-13"], (800, 400)))
    write_dbn(tmp_path / "h.dbn.zst", hourly, **SPAN)
    write_dbn(tmp_path / "m.dbn.zst", hourly, **SPAN, schema="1m")
    assert read_folder(tmp_path).bars["volume"].tolist() == [800]


# ---------------------------------------------------------------- encodings


def _as_text(bars: pd.DataFrame, *, is_pretty: bool) -> pd.DataFrame:
    prices = {
        name: bars[name].map("{:.9f}".format) if is_pretty else (bars[name] * 1e9).round().astype("int64")
        for name in ("open", "high", "low", "close")
    }
    stamp = (
        bars["ts_event"].dt.strftime("%Y-%m-%dT%H:%M:%S.000000000Z") if is_pretty else bars["ts_event"].astype("int64")
    )
    return bars.assign(**prices, ts_event=stamp, rtype=34, publisher_id=1).rename(columns={"text": "symbol"})


@pytest.mark.parametrize("is_pretty", [True, False])
@pytest.mark.parametrize("suffix", ["csv", "csv.zst", "json", "json.zst"])
def test_csv_and_json_lines_give_the_bars_of_dbn(tmp_path, suffix, is_pretty):
    bars = _two_contracts({"2024-02-12": (800, 400), "2024-02-13": (400, 800), "2024-02-14": (400, 800)})
    expected = write_and_read(tmp_path / "dbn", bars)
    path = tmp_path / "text" / f"glbx-mdp3-20240201-20240331.ohlcv-1h.{suffix}"
    path.parent.mkdir()
    rows = _as_text(bars, is_pretty=is_pretty)
    compression = "zstd" if suffix.endswith("zst") else None
    if "csv" in suffix:
        rows.to_csv(path, index=False, compression=compression)
    else:
        lines = [
            {"hd": {name: row.pop(name) for name in ("ts_event", "rtype", "publisher_id", "instrument_id")}}
            | {name: str(value) for name, value in row.items()}
            for row in rows.to_dict("records")
        ]
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        path.write_bytes(zstandard.compress(text.encode()) if compression else text.encode())
    read = read_folder(tmp_path / "text")
    pd.testing.assert_frame_equal(read.bars, expected.bars)
    pd.testing.assert_frame_equal(read.curve, expected.curve)


def test_a_file_without_symbols_is_read_with_the_symbology_of_its_job(tmp_path):
    bars = _as_text(_two_contracts({"2024-02-12": (800, 400), "2024-02-13": (800, 400)}), is_pretty=True)
    bars.drop(columns="symbol").to_csv(tmp_path / "glbx-mdp3-20240201-20240331.ohlcv-1h.csv", index=False)
    with pytest.raises(LandingError, match=r"instrument ids without symbols.*symbology\.json"):
        read_folder(tmp_path)
    result = {
        text: [{"d0": "2024-02-01", "d1": "2024-04-01", "s": str(instrument)}]
        for text, instrument in (("ZLH4", 1), ("ZLK4", 2), ("ZLH4-ZLK4", 3))
    }
    (tmp_path / "symbology.json").write_text(json.dumps({"result": result, "partial": [], "not_found": []}))
    assert read_folder(tmp_path).bars["contract_id"].tolist() == ["ZLH24"]


def test_a_csv_without_a_known_end_leaves_out_its_newest_session(tmp_path):
    bars = _as_text(
        _two_contracts(dict.fromkeys(["2024-02-09", "2024-02-12", "2024-02-13", "2024-02-14"], (800, 400))),
        is_pretty=True,
    )
    bars.to_csv(tmp_path / "mine.csv", index=False)
    read = read_folder(tmp_path)
    assert read.bars["as_of_date"].dt.day.tolist() == [13]
    assert any("2024-02-14: the files cover a part" in note for note in read.notes)


# ---------------------------------------------------------------- daily intervals, conditions, damage


def test_daily_intervals_are_read_only_where_a_day_of_utc_is_the_trade_date(tmp_path):
    days = pd.to_datetime(["2013-04-03", "2013-04-04", "2013-04-08", "2013-04-09", "2013-04-10"], utc=True)
    rows = [
        {
            "ts_event": day,
            "text": text,
            "instrument_id": number,
            "open": price,
            "high": price,
            "low": price,
            "close": price,
            "volume": 10,
        }
        for day in days
        for number, (text, price) in enumerate((("ZLK3", 50.0), ("CLK3", 90.0)))
    ]
    write_dbn(tmp_path / "x.dbn", pd.DataFrame(rows), start="2013-04-01", end="2013-05-01", schema="1d")
    read = read_folder(tmp_path)
    assert set(read.bars["symbol"]) == {"ZL"}
    assert read.bars["as_of_date"].dt.day.tolist() == [9, 10]
    (note,) = [note for note in read.notes if "days of UTC" in note]
    assert "CL (5)" in note
    assert "ZL (2)" in note


@pytest.mark.parametrize(("condition", "used"), [("degraded", True), ("pending", False), ("missing", False)])
def test_days_that_are_not_available_are_named_and_only_degraded_ones_are_used(tmp_path, condition, used):
    bars = _two_contracts(dict.fromkeys(["2024-02-12", "2024-02-13", "2024-02-14"], (800, 400)))
    write_dbn(tmp_path / "x.dbn.zst", bars, **SPAN)
    days = [{"date": "2024-02-14", "condition": condition}, {"date": "2024-02-13", "condition": "available"}]
    (tmp_path / "condition.json").write_text(json.dumps(days))
    read = read_folder(tmp_path)
    assert (14 in read.bars["as_of_date"].dt.day.tolist()) == used
    assert any(f"1 session {condition} at Databento" in note and "2024-02-14" in note for note in read.notes)


def test_a_file_that_was_cut_is_refused_though_the_library_reads_it(tmp_path):
    path = write_dbn(tmp_path / "x.dbn.zst", _two_contracts({"2024-02-12": (800, 400)}), **SPAN)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(LandingError, match=r"x\.dbn\.zst.*is cut.*download it again"):
        read_folder(tmp_path)


@pytest.mark.parametrize("suffix", ["dbn", "csv", "json"])
def test_a_file_that_is_not_compressed_and_was_cut_is_refused(tmp_path, suffix):
    bars = _two_contracts({"2024-02-12": (800, 400)})
    path = tmp_path / f"x.{suffix}"
    if suffix == "dbn":
        write_dbn(path, bars, **SPAN)
    elif suffix == "csv":
        _as_text(bars, is_pretty=True).to_csv(path, index=False)
    else:
        _as_text(bars, is_pretty=True).to_json(path, orient="records", lines=True)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(LandingError, match=rf"x\.{suffix}: cannot be read.*download it again"):
        read_folder(tmp_path)


@pytest.mark.parametrize("content", [b"", b"<html>Sign in</html>", b"DBN\x03"])
def test_a_file_that_is_no_dbn_is_refused_with_its_name(tmp_path, content):
    (tmp_path / "x.dbn").write_bytes(content)
    with pytest.raises(LandingError, match=r"x\.dbn: cannot be read"):
        read_folder(tmp_path)


def test_a_month_without_trade_is_no_fault(tmp_path):
    bars = _two_contracts({"2024-02-12": (800, 400), "2024-02-13": (800, 400)})
    write_dbn(tmp_path / "a.dbn.zst", bars, start="2024-02-01", end="2024-03-01")
    write_dbn(tmp_path / "b.dbn.zst", bars.iloc[:0], start="2024-03-01", end="2024-03-02")
    assert len(read_folder(tmp_path).bars) == 1


def test_a_csv_without_the_columns_of_databento_is_refused_with_the_column(tmp_path):
    (tmp_path / "x.csv").write_text(
        "ts_event,open,high,low,close,volume,symbol\n2024-02-12T15:00:00Z,45,45,45,45,1,ZLH4\n"
    )
    with pytest.raises(LandingError, match=r"x\.csv: cannot be read: it has no column 'rtype'"):
        read_folder(tmp_path)


def test_a_file_that_differs_from_its_manifest_is_refused(tmp_path):
    path = write_dbn(
        tmp_path / "x.dbn.zst", _two_contracts({"2024-02-12": (800, 400), "2024-02-13": (800, 400)}), **SPAN
    )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"filename": path.name, "size": path.stat().st_size, "hash": f"sha256:{digest}"}
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [entry, entry | {"filename": "absent.dbn.zst"}]}))
    assert len(read_folder(tmp_path).bars) == 1
    (tmp_path / "manifest.json").write_text(json.dumps({"files": [entry | {"hash": "sha256:00"}]}))
    with pytest.raises(LandingError, match=r"x\.dbn\.zst: differs from manifest\.json"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("manifest.json", "{", "is not JSON"),
        ("manifest.json", '{"files": [{"filename": "x.dbn"}]}', "does not list filename, size, hash"),
        ("condition.json", '{"detail": "no"}', "does not list date, condition"),
    ],
)
def test_a_damaged_sidecar_is_refused_with_its_name(tmp_path, name, content, says):
    write_dbn(tmp_path / "x.dbn", _two_contracts({"2024-02-12": (800, 400)}), **SPAN)
    (tmp_path / name).write_text(content)
    with pytest.raises(LandingError, match=f"{name}: {says}"):
        read_folder(tmp_path)


def test_overlapping_files_are_counted_once_and_contradictions_are_refused(tmp_path):
    bars = _two_contracts(dict.fromkeys(["2024-02-12", "2024-02-13", "2024-02-14"], (800, 400)))
    write_dbn(tmp_path / "a.dbn.zst", bars, **SPAN)
    alone = read_folder(tmp_path)
    write_dbn(tmp_path / "b.dbn.zst", bars[bars["ts_event"] >= "2024-02-13"], start="2024-02-13", end="2024-04-01")
    pd.testing.assert_frame_equal(read_folder(tmp_path).bars, alone.bars)
    revised = bars.assign(close=bars["close"] + 0.01, high=bars["high"] + 0.01)
    write_dbn(tmp_path / "b.dbn.zst", revised, start="2024-02-01", end="2024-04-01")
    with pytest.raises(
        LandingError, match=r"a\.dbn\.zst and .*b\.dbn\.zst: .* bars differ, first .* close .*keep the newer download"
    ):
        read_folder(tmp_path)


def test_a_folder_without_files_of_bars_is_refused(tmp_path):
    with pytest.raises(LandingError, match=r"holds no \.dbn, \.csv or \.json file"):
        read_folder(tmp_path)
    write_dbn(tmp_path / "x.dbn", pd.DataFrame(_session("2024-02-12", "SIH4", 1, 23.0, 400)), **SPAN)
    with pytest.raises(LandingError, match=r"no file has bars that the project reads; 1 symbol .*SIH4"):
        read_folder(tmp_path)


# ---------------------------------------------------------------- real files, where they are present


@pytest.fixture(scope="module")
def real_files(real_landing) -> Path:
    folder = real_landing.parent / "databento"
    if not folder.is_dir():
        pytest.skip(f"no real files: {folder} is absent")
    return folder


def test_real_files_give_the_real_bars_but_for_sessions_with_two_contracts_and_repaired_rolls(real_files, real_landing):
    read = read_folder(real_files)
    real = pd.read_parquet(real_landing / "bars_daily.parquet")
    real = real.assign(as_of_date=pd.to_datetime(real["as_of_date"]), contract_id=real["contract_id"].astype(str))
    days = read.bars["as_of_date"]
    real = real[real["as_of_date"].between(days.min(), days.max()) & real["symbol"].isin(futures())]
    both = real.merge(read.bars, on=["symbol", "as_of_date"], suffixes=("", "_read"))
    assert len(both) == len(read.bars) == 3146
    assert (both["contract_id"] == both["contract_id_read"]).all()
    assert (both["close"] == both["close_read"]).all()

    left_out = real.merge(read.bars[["symbol", "as_of_date"]], how="left", indicator=True).query(
        "_merge == 'left_only'"
    )
    named = [note for note in read.notes if "rolls back or jumps" in note]
    assert left_out.groupby("symbol").size().to_dict() == {"6L": 5, "HO": 1, "NG": 1, "ZC": 1, "ZL": 3}
    for symbol, day in zip(left_out["symbol"], left_out["as_of_date"].dt.strftime("%Y-%m-%d"), strict=True):
        assert any(note.startswith(f"{symbol}:") and day in note for note in named)

    values = ["open", "high", "low", "volume"]
    differs = both[
        (both[values].astype(float) != both[[f"{name}_read" for name in values]].astype(float).to_numpy()).any(axis=1)
    ]
    # in the real bars these sessions join the hours of two contracts
    hours = pd.concat(
        databento.DBNStore.from_file(path).to_df().reset_index() for path in sorted(real_files.glob("*.zst"))
    )
    hours = hours.assign(symbol=hours["symbol"].str.removesuffix(".v.0"), as_of_date=trade_dates(hours["ts_event"]))
    contracts = hours.groupby(["symbol", "as_of_date"])["instrument_id"].nunique()
    assert (contracts[pd.MultiIndex.from_frame(differs[["symbol", "as_of_date"]])] > 1).all()
    assert not set(differs["symbol"]) & {"ZL", "ZS", "ZM", "ZC", "ZW", "HE"}
    assert len(differs) == 86


def test_the_first_real_months_give_the_same_bars_as_all_of_them(real_files, tmp_path):
    for path in sorted(real_files.glob("*.zst"))[:3]:
        (tmp_path / path.name).symlink_to(path)
    part, whole = read_folder(tmp_path).bars, read_folder(real_files).bars
    assert str(part["as_of_date"].max().date()) == "2019-03-29"
    shared = whole[whole["as_of_date"] <= part["as_of_date"].max()].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, shared)


def write_and_read(folder: Path, bars: pd.DataFrame):
    """Write one DBN file into a folder and read the folder."""
    write_dbn(folder / "x.dbn.zst", bars, **SPAN)
    return read_folder(folder)

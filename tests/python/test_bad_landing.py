"""Bad landing files are refused with file, column, rows and a fix, and the build stops.

Optional inputs may be absent or invalid: their features are then missing, and the build continues.
"""

from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import MARTS, TARGETS, UNTESTED, read, repeated

from zl_forecast.errors import LandingError
from zl_forecast.landing import LandingFolder, find_landing, read_table

N = 12  # sessions in the small landing folder
DAYS = pd.bdate_range("2024-01-22", periods=N)  # no holiday among them


def bars(symbol: str = "ZL", close: float = 47.0) -> pd.DataFrame:
    """A dozen bars, a cent dearer each session."""
    closes = close + 0.01 * np.arange(N)
    return pd.DataFrame(
        {
            "symbol": symbol, "as_of_date": DAYS.date, "open": closes,
            "high": closes + 0.5, "low": closes - 0.5,
            "close": closes, "volume": 1000, "contract_id": f"{symbol}H4",
        }
    )  # fmt: skip


def both() -> pd.DataFrame:
    return pd.concat([bars("HO", 2.0), bars("ZL")], ignore_index=True)


def series(**changed) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "series_id": "DFF",
            "obs_date": DAYS.date,
            "available_on": (DAYS + timedelta(days=1)).date,
            "value": 5.33,
        }
    )
    return table.assign(**changed)


def events(**changed) -> pd.DataFrame:
    event = {
        "event_date": date(2024, 1, 3), "available_on": date(2024, 1, 3), "bucket": "tariff",
        "kind": "announcement", "title": "Section 301", "severity": 1.0,
    }  # fmt: skip
    return pd.DataFrame([event | changed])


def with_value(table: pd.DataFrame, column: str, row: int, value) -> pd.DataFrame:
    """The table with one cell changed; `row` counts from 0, in the rows of ZL where there are any."""
    table = table.copy()
    rows = table.index[table["symbol"] == "ZL"] if "symbol" in table else table.index
    table[column] = table[column].astype(object)
    table.loc[rows[row], column] = value
    return table


def scaled(table: pd.DataFrame, factor: float, rows: slice = slice(None)) -> pd.DataFrame:
    """All four prices of ZL times a factor, as after a change of unit."""
    table = table.copy()
    chosen = table.index[table["symbol"] == "ZL"][rows]
    prices = ["open", "high", "low", "close"]
    table.loc[chosen, prices] = table.loc[chosen, prices] * factor
    return table


def csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False).encode()


def parquet(table: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), sink)
    return sink.getvalue().to_pybytes()


@dataclass(frozen=True)
class Bad:
    """Files by name, and the expected message."""

    files: dict[str, bytes]
    column: str | None = None
    rows: int | None = None
    says: str = ""
    remedy: str = ""
    file: str = "bars_daily.csv"
    table: str = field(default="bars_daily")


def of_bars(table: pd.DataFrame, column: str | None, rows: int | None, says: str, remedy: str) -> Bad:
    return Bad({"bars_daily.csv": csv(table)}, column, rows, says, remedy)


def _cut_inside_the_last_line(table: pd.DataFrame) -> bytes:
    return csv(table)[:-20]


BAD = {
    "duplicate key with other values": of_bars(
        pd.concat([bars(), bars().tail(1).assign(close=47.2)]),
        "symbol, as_of_date",
        2,
        "duplicate key",
        "Keep one row",
    ),
    "duplicate key in another spelling and another file": Bad(
        {"bars_daily.csv": csv(bars()), "bars_daily_2.csv": csv(bars().assign(symbol=" zl", volume=7))},
        "symbol, as_of_date",
        2 * N,
        "duplicate key",
        "Keep one row",
        file="bars_daily.csv, bars_daily_2.csv",
    ),
    "dates going back": of_bars(
        bars().iloc[[0, 1, 2, 4, 3, *range(5, N)]], "as_of_date", 1, "go back", "Sort the file by symbol"
    ),
    "negative ZL": of_bars(
        scaled(both(), -1.0, slice(5, 6)), "close", 1, "ZL closes at zero or below", "cannot be negative"
    ),
    "ZL in USD/lb": of_bars(scaled(both(), 0.01), "close", N, "ZL closes outside", "USD/lb multiply by 100"),
    "one row of ZL in USD/lb": of_bars(
        scaled(both(), 0.01, slice(7, 8)), "close", 1, "ZL closes outside", "USD/lb multiply by 100"
    ),
    "ZL in USD/t": of_bars(scaled(both(), 22.0462), "close", N, "ZL closes outside", "USD/t divide by 22.0462"),
    "text in close": of_bars(
        with_value(both(), "close", 3, "n/a"), "close", 1, "not a DOUBLE, for example 'n/a'", "leave it empty"
    ),
    "text in volume": of_bars(with_value(both(), "volume", 3, "1k"), "volume", 1, "not a BIGINT", "leave it empty"),
    "date as text of another kind": of_bars(
        with_value(both(), "as_of_date", 0, "Jan 2 2024"),
        "as_of_date",
        1,
        "not a DATE",
        "Write as_of_date as DATE",
    ),
    "date as a number in parquet": Bad(
        {"bars_daily.parquet": parquet(both().assign(as_of_date=20240102))},
        "as_of_date",
        2 * N,
        "not a DATE",
        "Write as_of_date as DATE",
        file="bars_daily.parquet",
    ),
    "list in close in parquet": Bad(
        {"bars_daily.parquet": parquet(both().assign(close=[[1.0]] * 2 * N))},
        "close",
        2 * N,
        "not a DOUBLE",
        "leave it empty",
        file="bars_daily.parquet",
    ),
    "missing column": of_bars(both().drop(columns="contract_id"), "contract_id", None, "missing", "symbol, as_of_date"),
    "columns in capitals": of_bars(both().rename(columns={"close": "Close"}), "close", None, "'Close'", "lower case"),
    "semicolons": Bad(
        {"bars_daily.csv": csv(both()).replace(b",", b";")},
        None,
        None,
        "semicolons separate its columns (line 1)",
        "Write commas between columns",
    ),
    "0 bytes of csv": Bad({"bars_daily.csv": b""}, None, 0, "is empty", "Remove the file"),
    "0 bytes of parquet": Bad(
        {"bars_daily.parquet": b""}, None, 0, "is empty", "Remove the file", file="bars_daily.parquet"
    ),
    "header only": of_bars(both().head(0), None, 0, "holds no rows", "Remove the file"),
    "parquet without rows": Bad(
        {"bars_daily.parquet": parquet(both().head(0))},
        None,
        0,
        "holds no rows",
        "Remove",
        file="bars_daily.parquet",
    ),
    "half-written parquet": Bad(
        {"bars_daily.parquet": parquet(both())[:-200]},
        None,
        None,
        "cannot be read as parquet",
        "half written",
        file="bars_daily.parquet",
    ),
    "parquet cut in the middle": Bad(
        {"bars_daily.parquet": parquet(both())[:900]},
        None,
        None,
        "cannot be read as parquet",
        "half written",
        file="bars_daily.parquet",
    ),
    "half-written csv": Bad(
        {"bars_daily.csv": _cut_inside_the_last_line(both())},
        None,
        1,
        "cannot be read as csv",
        "half written",
    ),
    "half-written csv, longer than what is sniffed": Bad(
        {"series.csv": csv(pd.concat([series(series_id=f"S{i:04}") for i in range(3000)]))[:-15]},
        None,
        1,
        "cannot be read as csv",
        "half written",
        file="series.csv",
        table="series",
    ),
    "csv cut inside its last value": Bad(
        {"series.csv": csv(series())[:-2]},
        None,
        1,
        "the last line has no newline",
        "end its last line with a newline",
        file="series.csv",
        table="series",
    ),
    "text that is not a csv": Bad(
        {"bars_daily.csv": b"PAR1\x00\xff\xfe\n\x00\n"}, None, None, "", "", "bars_daily.csv"
    ),
    "stale ZL": of_bars(
        pd.concat([bars("HO", 2.0), bars("ZL").head(2)]),
        "as_of_date",
        14,
        "ZL is stale",
        "Fetch the missing ZL bars",
    ),
    "no ZL": of_bars(bars("ZS", 1200.0), "symbol", 0, "no rows of ZL", "as symbol ZL"),
    "date in the future": of_bars(
        with_value(both(), "as_of_date", N - 1, date(2199, 1, 4)),
        "as_of_date",
        1,
        "in the future",
        "correct them",
    ),
    "day, month and two digits of a year": of_bars(  # DuckDB reads the year 13
        with_value(both(), "as_of_date", 0, "13/1/24"), "as_of_date", 1, "not a DATE", "four digits"
    ),
    "ZL without a close": of_bars(
        with_value(both(), "close", 4, None), "close", 1, "without a finite close", "fill it in"
    ),
    "ZL not a number": of_bars(
        with_value(both(), "close", 4, "NaN"), "close", 1, "without a finite close", "fill it in"
    ),
    "ZL infinite": of_bars(with_value(both(), "close", 4, "inf"), "close", 1, "without a finite close", "fill it in"),
    "ZL infinite in parquet": Bad(
        {"bars_daily.parquet": parquet(both().assign(close=np.inf))},
        "close",
        N,
        "without a finite close",
        "fill it in",
        file="bars_daily.parquet",
    ),
    "a jump of 40 %": of_bars(
        scaled(both(), 1.4, slice(6, None)), "close", 1, "moves by more than 25%", "correct those rows"
    ),
    "high below low": of_bars(with_value(both(), "high", 2, 40.0), "close", 1, "outside low to high", "not swapped"),
    "close above high": of_bars(with_value(both(), "close", 2, 48.5), "close", 1, "outside low to high", "not swapped"),
    "bar without a date": of_bars(with_value(both(), "as_of_date", 2, None), "as_of_date", 1, "no value", "fill it in"),
    "open of zero": of_bars(with_value(both(), "open", 2, 0.0), "open", 1, "open is zero or negative", "correct open"),
    "negative low": of_bars(with_value(both(), "low", 2, -1.0), "low", 1, "low is zero or negative", "leave it empty"),
    "bar without a symbol": of_bars(with_value(both(), "symbol", 2, None), "symbol", 1, "no value", "fill it in"),
    "known before it happened": Bad(
        {"series.csv": csv(series(available_on=(DAYS - timedelta(days=1)).date))},
        "available_on",
        N,
        "before the date they describe",
        "correct the lag",
        file="series.csv",
        table="series",
    ),
    "series without the day it became known": Bad(
        {"series.csv": csv(series(available_on=None))},
        "available_on",
        N,
        "no value",
        "Every row needs available_on",
        file="series.csv",
        table="series",
    ),
    "series contradicting itself": Bad(
        {"series.csv": csv(pd.concat([series(), series(value=6.0)]).sort_values("available_on"))},
        "series_id, obs_date, available_on",
        2 * N,
        "duplicate key",
        "a revised value is a new row",
        file="series.csv",
        table="series",
    ),
    "event without a title": Bad(
        {"policy_events.csv": csv(events(title=None))},
        "title",
        1,
        "no value",
        "Every row needs title",
        file="policy_events.csv",
        table="policy_events",
    ),
    "event of infinite severity": Bad(
        {"policy_events.csv": csv(events(severity=np.inf))},
        "severity",
        1,
        "no value",
        "Every row needs severity",
        file="policy_events.csv",
        table="policy_events",
    ),
}


def landed(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_with_file_column_rows_and_fix(case, tmp_path):
    bad = BAD[case]
    with pytest.raises(LandingError) as raised:
        read_table(bad.table, LandingFolder(landed(tmp_path, bad.files), "market"))
    error, message = raised.value, str(raised.value)
    assert (error.file, error.column, error.rows) == (bad.file, bad.column, bad.rows), message
    assert bad.says in error.problem
    assert bad.remedy in error.remedy
    assert error.file in message
    assert error.remedy in message
    assert error.remedy.endswith(".")


@pytest.mark.parametrize("named", ["does_not_exist", "holds_no_bars"])
def test_a_named_folder_without_bars_is_refused_and_not_replaced_by_the_sample(named, tmp_path, monkeypatch):
    landed(tmp_path / "holds_no_bars", {"series.csv": csv(series())})
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / named))
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    with pytest.raises(LandingError, match="the ZL bars are required") as raised:
        find_landing()
    assert raised.value.file == f"{tmp_path / named}/bars_daily*.parquet or .csv"
    assert "unset it to use the simulated market" in raised.value.remedy
    assert not (tmp_path / "data").exists()


# ---------------------------------------------------------------- the whole build

STOPPED = {
    "negative ZL": (BAD["negative ZL"].files, "ZL closes at zero or below, for example -47.05 (1 row)"),
    "half-written parquet": (
        BAD["half-written parquet"].files,
        "bars_daily.parquet: cannot be read as parquet",
    ),
    "missing column": (BAD["missing column"].files, "bars_daily.csv, column contract_id: missing"),
    "no folder": (None, "bars_daily*.parquet or .csv: no such file, but the ZL bars are required"),
}


PUBLISHED = {
    "serving.duckdb": b"yesterday's snapshot", "report.html": b"<html>",
    "parquet/zl_forecast.parquet": b"PAR1",
}  # fmt: skip


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.mark.parametrize(
    "case",
    [
        "negative ZL",
        pytest.param("no folder", marks=pytest.mark.full),
        pytest.param("half-written parquet", marks=pytest.mark.full),
        pytest.param("missing column", marks=pytest.mark.full),
    ],
)
def test_a_build_stops_at_staging_and_leaves_published_results_unchanged(case, run_dbt, tmp_path):
    files, _ = STOPPED[case]
    landing = landed(tmp_path / "landing", files) if files else tmp_path / "nowhere"
    (tmp_path / "data/serving/parquet").mkdir(parents=True)
    serving = landed(tmp_path / "data/serving", PUBLISHED)
    before = contents(serving)

    result = run_dbt(
        UNTESTED,
        landing=landing,
        data_dir=tmp_path / "data",
        expect_failure=True,
    )

    assert result.returncode != 0
    assert STOPPED[case][1] in " ".join(result.stdout.split())
    assert result.status["stg_landing__bars"] == "error"
    assert (
        result.status["stg_landing__series"] == "success" or case == "no folder"
    )  # its file is absent, which is no fault
    after = result.models_after("stg_landing__bars")
    assert {
        "int_prices__daily",
        "mart_crush__daily",
        "int_gate__zl",
        "int_gate__results",
        "specialist_crush",
        "int_ensemble__methods",
    } <= after
    assert {name: result.status[name] for name in after if result.status[name] != "skipped"} == {}
    assert {name: content for name, (content, _) in before.items()} == PUBLISHED
    assert contents(serving) == before


# ---------------------------------------------------------------- optional inputs


def changed(landing: Path, to: Path, *statements: str) -> Path:
    """A copy of the sample's landing files after some SQL on the tables bars, series and events."""
    with duckdb.connect() as con:
        names = {"bars": "bars_daily.parquet", "series": "series.parquet", "events": "policy_events.csv"}
        for table, name in names.items():
            con.execute(f"create table {table} as from '{landing / name}'")
        for statement in statements:
            con.execute(statement)
        to.mkdir(parents=True)
        for table, name in names.items():
            if con.sql(f"select count(*) from {table}").fetchone()[0]:
                con.execute(f"copy {table} to '{to / name}'")
    return to


def not_finite(warehouse: Path) -> dict[str, int]:
    """Features that are infinite or not a number, by column; missing ones are fine."""
    found = {}
    for bucket, mart in MARTS.items():
        table = read(warehouse, f"from {mart}")
        assert table.num_rows, bucket
        for name in table.column_names:
            if pa.types.is_floating(table[name].type):
                values = table[name].drop_null().to_numpy()
                if n := int(np.count_nonzero(~np.isfinite(values))):
                    found[f"{bucket}.{name}"] = n
    return found


def missing_features(warehouse: Path, bucket: str) -> tuple[int, int]:
    """Features of the bucket's own that are missing in every row, and how many there are."""
    table = read(warehouse, f"select * exclude (as_of_date, latest_input_on) from {MARTS[bucket]}")
    own = [name for name in table.column_names if not name.startswith("base_")]
    return sum(table[name].null_count == table.num_rows for name in own), len(own)


def test_zl_alone_builds_with_the_other_features_missing(sample_landing, sample_features, tmp_path):
    only_zl = changed(
        sample_landing,
        tmp_path / "landing",
        "delete from bars where symbol != 'ZL'",
        "delete from series",
        "delete from events",
    )
    assert [path.name for path in only_zl.iterdir()] == ["bars_daily.parquet"]
    warehouse = repeated(sample_features, only_zl, tmp_path / "data")
    assert not_finite(warehouse) == {}
    for bucket in ("energy", "fx"):
        missing, of = missing_features(warehouse, bucket)
        assert missing == of > 20
    query = f"select as_of_date, horizon_days, z_return, ewma_volatility from {TARGETS} order by all"
    assert read(warehouse, query).equals(read(sample_features.warehouse, query))


@pytest.mark.parametrize(
    ("gone", "hit", "spared"),
    [("series", "fed", "energy"), ("events", None, "crush")],
    ids=["series", "events"],
)
def test_a_missing_optional_file_affects_only_its_features(
    gone, hit, spared, sample_landing, sample_features, tmp_path
):
    landing = changed(sample_landing, tmp_path / "landing", f"delete from {gone}")
    assert len(list(landing.iterdir())) == 2
    warehouse = repeated(sample_features, landing, tmp_path / "data")
    assert not_finite(warehouse) == {}
    if hit:
        assert missing_features(warehouse, hit)[0] > 10
    # the regime reads VIX
    query = f"select * exclude (base_regime_code) from {MARTS[spared]} order by as_of_date"
    assert read(warehouse, query).equals(read(sample_features.warehouse, query))


def test_a_negative_crude_price_is_accepted_and_every_feature_stays_finite(sample_landing, sample_features, tmp_path):
    landing = changed(
        sample_landing, tmp_path / "landing",
        "update bars set close = -37.63, low = -40.32 where symbol = 'CL' and as_of_date = date '2020-04-20'",
    )  # fmt: skip
    warehouse = repeated(sample_features, landing, tmp_path / "data")
    assert not_finite(warehouse) == {}
    day = "where as_of_date = date '2020-04-20'"
    row = read(warehouse, f"from {MARTS['energy']} {day}").to_pylist()[0]
    assert row["nymex_crack_321_usd_per_bbl"] > 37
    assert row["nymex_cl_zscore_126"] is None


@pytest.mark.parametrize("value", ["0", "-1", "'nan'", "'inf'", "'-inf'", "1e300", "-1e300", "1e-300"])
def test_one_impossible_value_in_every_optional_input_does_not_stop_the_build(
    value, sample_landing, sample_features, tmp_path
):
    value = f"{value}::double"
    landing = changed(
        sample_landing, tmp_path / "landing",
        f"update bars set open = {value}, high = {value}, low = {value}, close = {value} "
        "where symbol != 'ZL' and as_of_date in (date '2020-06-16', date '2020-06-17')",
        f"update series set value = {value} "
        "where available_on between date '2020-06-16' and date '2020-06-25'",
    )  # fmt: skip
    warehouse = repeated(sample_features, landing, tmp_path / "data")
    assert not_finite(warehouse) == {}
    query = f"select as_of_date, horizon_days, z_return, ewma_volatility from {TARGETS} order by all"
    assert read(warehouse, query).equals(read(sample_features.warehouse, query))


def test_days_to_the_next_meeting_are_missing_after_the_end_of_the_calendar(sample_landing, sample_features, tmp_path):
    warehouse = repeated(sample_features, sample_landing, tmp_path / "data")
    compiled = {name: sql for name, _, sql in sample_features.compiled}
    with duckdb.connect(str(warehouse)) as con:
        meetings = "registry.fomc_meetings"
        con.execute(f"delete from {meetings} where meeting_date not between '2019-01-01' and '2021-06-01'")
        con.execute(f"create or replace table {MARTS['fed']} as {compiled['mart_fed__daily']}")
        first, last = con.sql(f"select min(meeting_date), max(meeting_date) from {meetings}").fetchone()
        wrong = con.sql(
            f"""
            from {MARTS["fed"]} where (fomc_days_to is null) != (as_of_date >= '{last}')
                or (fomc_days_since is null) != (as_of_date < '{first}')
            """
        ).fetchall()
        n_missing = con.sql(f"select count(*) from {MARTS['fed']} where fomc_days_to is null").fetchone()[0]
    assert wrong == []
    assert n_missing > 100


def test_constant_prices_do_not_stop_the_build(sample_landing, sample_features, tmp_path):
    landing = changed(
        sample_landing, tmp_path / "landing",
        "update bars set open = 50, high = 50, low = 50, close = 50 "
        "where symbol != 'ZL' and as_of_date > '2019-06-01'",
        "update series set value = 5 where available_on > date '2019-06-01'",
    )  # fmt: skip
    assert not_finite(repeated(sample_features, landing, tmp_path / "data")) == {}

"""Where landing files are found, and how valid and unusual but harmless ones are read."""

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_bad_landing import DAYS, N, bars, both, csv, events, landed, parquet, scaled, series, with_value

from zl_forecast import sample
from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import LandingError
from zl_forecast.landing import TABLES, Landing, LandingFolder, find_landing, folder, read_table
from zl_forecast.landing.contract import sentences
from zl_forecast.landing.plugin import Plugin


def rows_of(tmp_path, table: str = "bars_daily", **files: bytes) -> pd.DataFrame:
    """Write files given as name_suffix=content and read them with `read_table`."""
    named = {name.rsplit("_", 1)[0] + "." + name.rsplit("_", 1)[1]: content for name, content in files.items()}
    return read_table(table, LandingFolder(landed(tmp_path, named), "market")).to_pandas()


# ---------------------------------------------------------------- which folder


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def quick_simulation(monkeypatch):
    """Replace the simulation by a small, slow one; return the list of requested worlds."""
    calls = []

    def simulate(world):
        calls.append((world, threading.get_ident()))
        time.sleep(0.2)
        return real(world, start="2020-01-02", end="2020-03-31")

    real = sample.simulate
    monkeypatch.setattr(sample, "simulate", simulate)
    return calls


def test_without_landing_files_the_market_is_simulated_once_with_a_message(data_dir, quick_simulation):
    with ThreadPoolExecutor(4) as pool:  # as dbt's threads do on a cold start
        found = list(pool.map(lambda _: find_landing(), range(4)))
    assert len(quick_simulation) == 1
    assert {(f.path, f.data_source) for f in found} == {(data_dir / "sample" / "planted", "simulated")}
    assert json.loads((found[0].path / "SIMULATED.json").read_text())["world"] == "planted"
    assert set(read_table("bars_daily", found[0])["data_source"].to_pylist()) == {"simulated"}


def test_the_projects_landing_folder_takes_precedence_over_the_sample(data_dir, quick_simulation):
    landed(data_dir / "landing", {"bars_daily.csv": csv(both())})
    assert find_landing() == LandingFolder(data_dir / "landing", "market")
    assert quick_simulation == []


def test_a_named_folder_takes_precedence_over_the_projects(data_dir, tmp_path, monkeypatch):
    landed(data_dir / "landing", {"bars_daily.csv": csv(both())})
    monkeypatch.setenv("ZL_LANDING_DIR", str(landed(tmp_path / "named", {"bars_daily.csv": csv(both())})))
    assert find_landing().path == tmp_path / "named"


def test_series_without_bars_are_not_mixed_with_a_simulated_market(data_dir, quick_simulation):
    landed(data_dir / "landing", {"series.csv": csv(series())})
    with pytest.raises(LandingError, match=r"no such file, though the folder holds series\.csv"):
        find_landing()
    assert quick_simulation == []


@pytest.mark.parametrize("world", ["planted", "random_walk", "broken"])
def test_the_sample_meets_the_contract_without_messages(world, tmp_path):
    sample.write_landing(sample.simulate(world, start="2018-01-02", end="2021-12-31"), tmp_path / world)
    landing = Landing(LandingFolder(tmp_path / world, "simulated"))
    for name in TABLES:
        table = landing.table(name)
        assert table.column_names == [*TABLES[name].columns, "data_source"]
        assert table.num_rows > 0
    assert [row["problem"] for row in landing.findings().to_pylist() if row["severity"] != "info"] == []
    assert landing.folder.unread() == []


def test_real_data_meet_the_contract_and_lose_no_row(real_landing):
    landing = Landing(LandingFolder(real_landing, "market"))
    n_rows = {name: landing.table(name).num_rows for name in ("bars_daily", "series", "policy_events")}
    for name, suffix in (("bars_daily", "parquet"), ("series", "parquet"), ("policy_events", "csv")):
        assert n_rows[name] == duckdb.sql(f"select count(*) from '{real_landing}/{name}*.{suffix}'").fetchone()[0] > 0
    assert {row["severity"] for row in landing.findings().to_pylist()} <= {"info"}


# ---------------------------------------------------------------- what is harmless


def test_exact_duplicates_pass_as_in_overlapping_files(tmp_path):
    rows = rows_of(tmp_path, bars_daily_csv=csv(both()), bars_daily_2_csv=csv(both()))
    assert len(rows.drop_duplicates()) == 2 * N


def test_csv_and_parquet_of_the_same_bars_are_the_same(tmp_path):
    a = rows_of(tmp_path / "a", bars_daily_csv=csv(both()))
    b = rows_of(tmp_path / "b", bars_daily_parquet=parquet(both()))
    pd.testing.assert_frame_equal(a, b)


def test_a_missing_optional_table_is_empty_with_its_columns(tmp_path):
    rows = rows_of(tmp_path, "series", bars_daily_csv=csv(both()))
    assert list(rows) == ["series_id", "obs_date", "available_on", "value", "data_source"]
    assert rows.empty


def test_symbols_and_buckets_have_one_spelling(tmp_path):
    assert set(rows_of(tmp_path, bars_daily_csv=csv(bars(" zl")))["symbol"]) == {"ZL"}
    rows = rows_of(tmp_path, "policy_events", policy_events_csv=csv(events(bucket=" Tariff")))
    assert set(rows["bucket"]) == {"tariff"}


def test_negative_crude_prices_pass(tmp_path):
    crude = bars("CL", 20.0).assign(low=-40.32)
    crude.loc[5, "close"] = -37.63
    rows = rows_of(tmp_path, bars_daily_csv=csv(pd.concat([crude, bars()])))
    assert rows.loc[rows["symbol"] == "CL", "close"].min() == -37.63


def test_a_jump_of_40_percent_at_a_roll_is_not_an_error(tmp_path):
    rolled = scaled(bars(), 1.4, slice(6, None))
    rolled.loc[6:, "contract_id"] = "ZLK4"
    assert len(rows_of(tmp_path, bars_daily_csv=csv(rolled))) == N


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e16])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_an_impossible_close_of_another_instrument_is_a_missing_bar_with_a_warning(tmp_path, value, suffix):
    heating_oil = bars("HO", 2.0)
    heating_oil.loc[3, "close"] = value
    table = pd.concat([heating_oil, bars()])
    content = {"csv": table.to_csv(index=False, na_rep="nan").encode(), "parquet": _parquet_with_nan(table)}[suffix]
    landing = Landing(LandingFolder(landed(tmp_path, {f"bars_daily.{suffix}": content}), "market"))
    rows = landing.table("bars_daily").to_pandas()
    assert len(rows) == 2 * N - 1
    assert DAYS[3].date() not in set(rows.loc[rows["symbol"] == "HO", "as_of_date"])
    said = list(sentences(landing.findings()))
    assert any(f"bars_daily.{suffix}: column close: 1 impossible number(s) count as missing" in line for line in said)
    assert any("1 bars without a close count as missing: HO 1" in line for line in said)


def _parquet_with_nan(table: pd.DataFrame) -> bytes:
    """Write NaN as the number NaN; pandas would write a null."""
    arrow = pa.Table.from_pandas(table.drop(columns="close"), preserve_index=False)
    arrow = arrow.append_column("close", pa.array(table["close"].to_numpy(), from_pandas=False))
    sink = pa.BufferOutputStream()
    pq.write_table(arrow, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("column", ["high", "low", "volume"])
def test_other_impossible_numbers_of_zl_are_missing(tmp_path, column):
    rows = rows_of(tmp_path, bars_daily_csv=csv(with_value(bars(), column, 4, "inf")))
    assert len(rows) == N
    assert rows[column].isna().sum() == 1


def test_a_series_value_that_is_not_a_number_is_dropped(tmp_path):
    values = [5.33] * N
    values[2], values[4] = np.inf, None
    assert len(rows_of(tmp_path, "series", series_csv=csv(series(value=values)))) == N - 2


def test_tiny_values_are_zero(tmp_path):
    rows = rows_of(tmp_path, "series", series_csv=csv(series(value=1e-300)))
    assert set(rows["value"]) == {0.0}


def test_an_instant_is_the_same_date_on_every_machine(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/Chicago")
    time.tzset()
    try:
        stamped = bars().assign(as_of_date=DAYS.tz_localize("UTC"))
        rows = rows_of(tmp_path, bars_daily_parquet=parquet(stamped))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert list(rows["as_of_date"]) == list(DAYS.date)


def test_todays_bar_is_not_in_the_future(tmp_path):
    sessions = exchange_sessions(["CMEGlobex_Grains"], date.today() - timedelta(60), date.today())["session_date"]
    recent = bars().assign(as_of_date=sessions.tail(N).dt.date.to_numpy())
    assert len(rows_of(tmp_path, bars_daily_csv=csv(recent))) == N


def test_files_still_being_written_are_not_read(tmp_path):
    landed(
        tmp_path,
        {"bars_daily.csv": csv(both()), "bars_daily.csv.tmp": b"half", ".bars_daily.parquet": b"half"},
    )
    assert [p.name for p in LandingFolder(tmp_path, "market").files("bars_daily")] == ["bars_daily.csv"]


def test_a_folder_of_the_sample_is_recognised_by_its_marker(sample_landing, tmp_path, monkeypatch):
    copy = shutil.copytree(sample_landing, tmp_path / "copy")
    monkeypatch.setenv("ZL_LANDING_DIR", str(copy))
    assert folder.find_landing().data_source == "simulated"
    (copy / "SIMULATED.json").unlink()
    assert folder.find_landing().data_source == "market"


def test_the_schema_of_the_sources_exists_before_dbts_threads_need_it():
    con = duckdb.connect()
    con.execute("attach ':memory:' as state; create schema state.forecasts")
    con.execute("create table state.forecasts.zl_forecast_ledger (data_source varchar)")
    Plugin("landing", {}).configure_connection(con)
    con.execute("create table landing.bars_daily (symbol varchar)")

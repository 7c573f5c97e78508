"""The landing check on realistic files: each is read correctly, or refused or quarantined with the reason.

Sessions are those of the exchange calendars; prices are simulated.
"""

import gzip
import re
from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from test_bad_landing import bars, both, csv, events, landed, parquet, series

from zl_forecast import cli
from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import LandingError
from zl_forecast.landing import TABLES, Landing, LandingFolder, find_landing, read
from zl_forecast.landing.contract import sentences
from zl_forecast.paths import seed

INSTRUMENTS = pd.read_csv(seed("instruments"), index_col="symbol")
PRICES = ["open", "high", "low", "close"]


@pytest.fixture(scope="module")
def sessions() -> pd.DataFrame:
    """Sessions of all calendars, 2018 to 2024."""
    return exchange_sessions(INSTRUMENTS["calendar"].unique(), "2018-01-01", "2024-12-31")


@pytest.fixture
def checked(sessions, tmp_path):
    """Return a function that builds a `Landing` from files by name."""

    def check(files: dict[str, bytes]) -> Landing:
        return Landing(LandingFolder(landed(tmp_path / "landing", files), "market"), sessions)

    return check


@pytest.fixture
def year(sessions):
    """Return a function that builds a symbol's bars for all sessions of 2023, rising by one tick per day."""

    def make(symbol: str) -> pd.DataFrame:
        own = INSTRUMENTS.loc[symbol]
        days = sessions.loc[
            (sessions["calendar"] == own["calendar"]) & sessions["session_date"].between("2023-01-01", "2023-12-31"),
            "session_date",
        ]
        middle = float(np.sqrt(own["min_price"] * own["max_price"]))
        close = middle + own["tick"] * np.arange(len(days))
        return pd.DataFrame(
            {
                "symbol": symbol, "as_of_date": days.dt.date.to_numpy(), "open": close, "high": close + 50 * own["tick"],
                "low": close - 50 * own["tick"], "close": close, "volume": 1000, "contract_id": symbol + days.dt.quarter.map({1: "H3", 2: "M3", 3: "U3", 4: "Z3"}).to_numpy(),
            }
        )  # fmt: skip

    return make


def found(landing: Landing, severity: str) -> dict[str, str]:
    """Return the problems of one severity by subject."""
    return {row["subject"]: row["problem"] for row in landing.findings().to_pylist() if row["severity"] == severity}


# ---------------------------------------------------------------- a date is a date

TEXTS = {
    "2024-01-22": True,
    " 2024-01-22 ": True,
    "2024-01-22T00:00:00": True,
    "2024-01-22 00:00:00+01:00": True,
    "2024-01-22T00:00:00-06:00": True,
    "2024-01-22T00:00:00.000Z": True,
    "2024-01-22T22:30:00-06:00": False,
    "2024-01-22 21:00:00": False,
    "2024-01-22 00:00:01": False,
    "2024-01-22 garbage": False,
    "2024-01-22x": False,
    "2024-01-22 00:00:00 Berlin": False,
    "22.01.2024": False,
    "01/22/2024": False,
    "20240122": False,
    "2024-1-22": False,
    "2024-02-30": False,
    "45313": False,
    "infinity": False,
}
DATE_COLUMNS = [
    (name, column) for name, table in TABLES.items() for column, kind in table.columns.items() if kind == "DATE"
]


def rows_with(name: str, column: str, value) -> pd.DataFrame:
    """Build a valid row of a landing table with another value in one date column."""
    curve = {
        "symbol": "ZL",
        "as_of_date": date(2024, 1, 22),
        "contract_month": date(2024, 3, 1),
        "settle": 47.0,
        "open_interest": 9,
    }
    good = {
        "bars_daily": bars().head(1),
        "series": series().head(1),
        "policy_events": events(),
        "curve_daily": pd.DataFrame([curve]),
    }
    rows = good[name].reset_index(drop=True)
    rows[column] = rows[column].astype(object)
    rows.loc[0, column] = value
    return rows


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("text", TEXTS)
def test_text_that_is_neither_a_date_nor_midnight_in_its_zone_is_refused(text, suffix, checked):
    rows = rows_with("series", "obs_date", text)
    landing = checked({f"series.{suffix}": {"csv": csv, "parquet": parquet}[suffix](rows)})
    if TEXTS[text]:
        assert landing.table("series")["obs_date"].to_pylist() == [date(2024, 1, 22)]
        return
    with pytest.raises(LandingError, match="not a DATE") as refused:
        landing.table("series")
    assert refused.value.column == "obs_date"
    assert text.strip() in refused.value.problem
    assert "17:00 Chicago" in refused.value.remedy


@pytest.mark.parametrize(("name", "column"), DATE_COLUMNS)
def test_every_date_column_refuses_instants_within_a_day_in_text_and_in_parquet(name, column, checked):
    rows = rows_with(name, column, "2024-01-22 21:00:00")
    stamped = rows.assign(**{column: pd.Timestamp("2024-01-22 21:00", tz="America/Chicago")})
    for content in ({f"{name}.csv": csv(rows)}, {f"{name}_b.parquet": parquet(stamped)}):
        with pytest.raises(LandingError, match=f"column {column}: not a DATE"):
            checked(content).table(name)
        for file in content:
            checked({}).folder.path.joinpath(file).unlink()


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/Chicago", "Asia/Tokyo", "UTC", None])
def test_an_instant_in_parquet_is_read_in_its_own_zone(zone, checked):
    stamps = pd.Series(pd.to_datetime(series()["available_on"])).dt.tz_localize(zone)
    landing = checked({"series.parquet": parquet(series(available_on=stamps))})
    assert landing.table("series")["available_on"].to_pylist() == list(series()["available_on"])


def test_midnight_in_berlin_written_as_utc_is_the_evening_before_and_refused(checked):
    stamps = pd.to_datetime(series()["available_on"]).dt.tz_localize("Europe/Berlin").dt.tz_convert("UTC")
    with pytest.raises(LandingError, match="not a DATE, for example '2024-01-22 23:00:00"):
        checked({"series.parquet": parquet(series(available_on=stamps))}).table("series")


@pytest.mark.parametrize(("name", "column"), DATE_COLUMNS)
def test_every_date_column_has_a_plausible_range(name, column, checked, tmp_path):
    ahead = TABLES[name].days_ahead[column]
    for value, says in (
        (date(1024, 1, 1), "dates before 1900"),
        (date.today() + timedelta(ahead + 32), "dates in the future"),
    ):
        rows = rows_with(name, column, value)
        if name == "series":  # available_on is after obs_date
            rows["obs_date" if column == "available_on" else "available_on"] = value
        landing = Landing(LandingFolder(landed(tmp_path / says, {f"{name}.csv": csv(rows)}), "market"))
        with pytest.raises(LandingError, match=says) as refused:
            landing.table(name)
        assert refused.value.column in TABLES[name].days_ahead


def test_a_bar_two_days_ahead_is_refused_and_tomorrows_session_has_begun(tmp_path):
    for days, is_refused in ((1, False), (2, True)):
        rows = rows_with("bars_daily", "as_of_date", date.today() + timedelta(days))
        entry = Landing(LandingFolder(landed(tmp_path / str(days), {"bars_daily.csv": csv(rows)}), "market")).files()
        assert (entry["status"][0].as_py() == "refused") == is_refused
        assert ("dates in the future, more than 1 day" in str(entry["reason"][0])) == is_refused


# ---------------------------------------------------------------- sessions of each symbol's own exchange


def shifted(table: pd.DataFrame, days: int) -> pd.DataFrame:
    return table.assign(as_of_date=[day + timedelta(days) for day in table["as_of_date"]])


@pytest.mark.parametrize("symbol", ["CL", "6E", "ZN", "HE", "ZC"])
def test_all_sessions_of_a_symbols_calendar_pass_without_messages(symbol, checked, year):
    landing = checked({"bars_daily.csv": csv(pd.concat([year(symbol), year("ZL")]))})
    assert landing.findings().num_rows == 0
    assert landing.table("bars_daily").num_rows == len(year(symbol)) + len(year("ZL"))


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (-1, r"has bars on \d\d Sundays and (none|few) on Fridays"),
        (1, r"has bars on \d\d Saturdays and (none|few) on Mondays"),
    ],
    ids=["dated by the evening before", "dated by the day after"],
)
def test_another_dating_convention_quarantines_a_symbol_and_refuses_zl(days, says, checked, year):
    landing = checked({"bars_daily.csv": csv(pd.concat([shifted(year("CL"), days), year("ZL")]))})
    quarantined = found(landing, "quarantined")
    assert list(quarantined) == ["CL"]
    assert re.search(says, quarantined["CL"])
    landing = checked({"bars_daily.csv": csv(shifted(year("ZL"), days))})
    with pytest.raises(LandingError, match=says):
        landing.table("bars_daily")


def test_evening_dates_without_sundays_are_detected_by_missing_fridays(checked, year):
    evening = shifted(year("CL"), -1)
    evening = evening[[day.weekday() < 5 for day in evening["as_of_date"]]]
    landing = checked({"bars_daily.csv": csv(pd.concat([evening, year("ZL")]))})
    assert re.search(r"has no bar on \d\d sessions on Fridays", found(landing, "quarantined")["CL"])


def test_a_change_of_dating_late_in_the_year_is_detected(checked, year):
    crude = year("CL")
    late = np.array([day >= date(2023, 12, 1) for day in crude["as_of_date"]])
    mixed = pd.concat([crude[~late].iloc[:-1], shifted(crude[late], -1)])
    landing = checked({"bars_daily.csv": csv(pd.concat([mixed, year("ZL")]))})
    assert "Sundays" in found(landing, "quarantined")["CL"]


def test_closes_repeated_on_every_holiday_are_dropped(checked, year):
    weekdays = pd.DataFrame({"as_of_date": pd.bdate_range("2023-01-03", "2023-12-29").date})
    filled = weekdays.merge(year("ZL"), how="left").ffill()
    filled["volume"] = filled["volume"].where(filled["as_of_date"].isin(year("ZL")["as_of_date"]), 0).astype(int)
    landing = checked({"bars_daily.csv": csv(filled)})
    assert landing.table("bars_daily").num_rows == len(year("ZL")) < len(filled) - 5
    assert f"{len(filled) - len(year('ZL'))} bars on days without a session" in found(landing, "warning")["ZL"]


@pytest.mark.parametrize("symbol", ["ZL", "CL"])
def test_a_close_repeated_on_a_holiday_is_dropped_and_reported(symbol, checked, year):
    table = year(symbol)
    before = table[[day < date(2023, 12, 25) for day in table["as_of_date"]]]
    holiday = before.tail(1).assign(as_of_date=date(2023, 12, 25), volume=0)
    others = year("ZL") if symbol != "ZL" else None
    landing = checked({"bars_daily.csv": csv(pd.concat([before, holiday, others]))})
    rows = landing.table("bars_daily").to_pandas()
    assert rows.loc[rows["symbol"] == symbol, "as_of_date"].max() == before["as_of_date"].iloc[-1]
    assert "1 bar on days without a session" in found(landing, "warning")[symbol]
    assert "2023-12-25" in found(landing, "warning")[symbol]


@pytest.mark.parametrize("days", [3, 10, 18])
@pytest.mark.parametrize("keeps_sundays", [True, False])
def test_another_dating_in_only_the_newest_weeks_is_detected(days, keeps_sundays, checked, year):
    table = year("ZL")
    newest = np.arange(len(table)) >= len(table) - days - 2
    evening = shifted(table[newest], -1)
    mixed = pd.concat([table[~newest].iloc[:-1], evening])
    if not keeps_sundays:
        mixed = mixed[[day.weekday() < 5 for day in mixed["as_of_date"]]]
        if days < 10:
            pytest.skip("a single missing Friday is no pattern")
    with pytest.raises(LandingError, match=r"Sunday|sessions on Fridays"):
        checked({"bars_daily.csv": csv(pd.concat([mixed, year("ZC")]))}).table("bars_daily")


def test_a_weekend_copy_of_the_last_close_in_overlapping_files_is_dropped_and_counted_once(checked, year):
    copy = year("ZL").iloc[[100]].assign(volume=0)
    saturday = copy["as_of_date"].iloc[0] + timedelta(5 - copy["as_of_date"].iloc[0].weekday())
    before = year("ZL")[[day < saturday for day in year("ZL")["as_of_date"]]].tail(1)
    table = csv(pd.concat([before, before.assign(as_of_date=saturday, volume=0)]))
    landing = checked({"bars_daily.csv": csv(year("ZL")), "bars_daily_2.csv": table, "bars_daily_3.csv": table})
    assert saturday not in landing.table("bars_daily")["as_of_date"].to_pylist()
    assert (
        f"1 bar on days without a session of CMEGlobex_Grains left out: {saturday}" == found(landing, "warning")["ZL"]
    )


def test_sparse_and_ended_symbols_are_distinguished_from_daily_ones(checked, year):
    weekly = year("HO")[[day.weekday() == 2 for day in year("HO")["as_of_date"]]]
    ended = year("CL").head(100)
    landing = checked({"bars_daily.csv": csv(pd.concat([weekly, ended, year("ZL")]))})
    assert re.match(r"has bars on \d+ of \d+ sessions", found(landing, "quarantined")["HO"])
    assert "before the newest bar" in found(landing, "warning")["CL"]


def test_juneteenth_is_not_a_session_of_grains_and_hogs_and_the_day_before_sandy_is():
    days = {
        name: set(own["session_date"].dt.date)
        for name, own in exchange_sessions(["CMEGlobex_Grains", "CMEGlobex_Lean_Hog"]).groupby("calendar")
    }
    for own in days.values():
        assert not own & {date(2022, 6, 20), date(2023, 6, 19), date(2024, 6, 19), date(2025, 6, 19), date(2026, 6, 19)}
        assert {date(2021, 6, 18), date(2012, 10, 29), date(2018, 12, 5), date(2022, 6, 21)} <= own


# ---------------------------------------------------------------- unknown is not changed


def test_numeric_contract_ids_are_normalised_and_empty_ones_are_null(checked):
    ids = ["96420", "96420.0", "96420.", " 96420 ", "", "#N/A", "None", "zlh4", "007", "704007.5"]
    table = bars().head(len(ids)).assign(contract_id=ids)
    landing = checked({"bars_daily.csv": csv(table)})
    assert landing.table("bars_daily")["contract_id"].to_pylist() == [
        *["96420"] * 4, None, None, None, "ZLH4", "7", "704007.5"
    ]  # fmt: skip


@pytest.mark.parametrize(
    "ids", [{6: None}, dict.fromkeys(range(12)), {5: None, 6: None}], ids=["one", "none at all", "two"]
)
def test_an_unknown_contract_does_not_disable_the_jump_check(ids, checked):
    table = bars()
    table.loc[6:, PRICES] *= 1.4
    table.loc[list(ids), "contract_id"] = None
    with pytest.raises(LandingError, match="ZL moves by more than 25%"):
        checked({"bars_daily.csv": csv(table)}).table("bars_daily")


def test_without_contracts_one_warning_states_that_rolls_cannot_be_detected(checked):
    landing = checked({"bars_daily.csv": csv(both().assign(contract_id=None))})
    assert list(found(landing, "warning")) == ["HO, ZL"]
    assert "rolls cannot be detected" in found(landing, "warning")["HO, ZL"]


def test_one_contract_for_a_year_or_a_new_one_daily_is_reported(checked, year):
    landing = checked(
        {
            "bars_daily.csv": csv(
                pd.concat(
                    [
                        year("ZL").assign(contract_id="ZL1!"),
                        year("ZC").assign(contract_id=[f"ZC{i}" for i in range(len(year("ZC")))]),
                        year("ZS"),
                    ]
                )
            )
        }
    )
    assert "one contract_id in all" in found(landing, "warning")["ZL"]
    assert "contract_id changes on" in found(landing, "warning")["ZC"]
    assert "ZS" not in found(landing, "warning")


def test_a_missing_close_does_not_disable_the_jump_check(checked, year):
    copper = year("HG")
    copper.loc[100:101, "close"] = None
    copper.loc[102:, PRICES] *= 2
    landing = checked({"bars_daily.csv": csv(pd.concat([copper, year("ZL")]))})
    assert "moves by more than 30%" in found(landing, "quarantined")["HG"]


@pytest.mark.parametrize(
    ("price", "factor"), [("high", 100), ("low", 0.01), ("high", 2), ("open", 1.4), ("open", 1.05)]
)
def test_each_of_the_four_prices_is_checked(price, factor, checked, year):
    for symbol in ("ZL", "ZS"):
        wrong = year(symbol)
        wrong.loc[60, price] *= factor
        landing = checked(
            {"bars_daily.csv": csv(pd.concat([wrong, year("ZC")] + ([] if symbol == "ZL" else [year("ZL")])))}
        )
        assert symbol in found(landing, "quarantined") or "refused" in landing.findings()["severity"].to_pylist()


# ---------------------------------------------------------------- one check per symbol


@pytest.mark.parametrize("factor", [100, 0.01])
@pytest.mark.parametrize("rows", ["all", "since September", "one day"])
def test_swapped_cents_and_dollars_are_detected_in_every_symbol(factor, rows, checked, year):
    others = [name for name in INSTRUMENTS.index if name != "ZL"]
    wrong = []
    for table in map(year, others):
        days = np.array(table["as_of_date"])
        chosen = {
            "all": days > date(2000, 1, 1),
            "since September": days >= date(2023, 9, 1),
            "one day": days == days[50],
        }[rows]
        wrong.append(table.assign(**{price: np.where(chosen, factor * table[price], table[price]) for price in PRICES}))
    assert set(found(checked({"bars_daily.csv": csv(pd.concat([*wrong, year("ZL")]))}), "quarantined")) == set(others)


def test_plausible_prices_of_every_symbol_pass(checked, year):
    good = [year(name) for name in INSTRUMENTS.index]
    assert checked({"bars_daily.csv": csv(pd.concat(good))}).findings().num_rows == 0


def test_the_registry_names_the_symbols_that_each_mart_reads(sample_features):
    buckets = pd.read_csv(seed("buckets"), index_col="bucket")["symbols"].fillna("").str.split()
    columns = {name.lower() if name[0].isalpha() else f"fx_{name.lower()}": name for name in INSTRUMENTS.index}
    compiled = {name: sql for name, _, sql in sample_features.compiled}
    for bucket, symbols in buckets.items():
        sql = compiled[f"mart_{bucket}__daily"]
        read_by_mart = {
            symbol
            for column, symbol in columns.items()
            if re.search(rf"\b{column}_(close|log_index|log_return)\b", sql)
        }
        assert read_by_mart - {"ZL"} == set(symbols), bucket


def test_the_registry_names_the_buckets_whose_events_each_mart_reads(sample_features):
    buckets = pd.read_csv(seed("buckets"), index_col="bucket")["events"].fillna("").str.split()
    compiled = {name: sql for name, _, sql in sample_features.compiled}
    for bucket, remembered in buckets.items():
        read = re.findall(r"where bucket = '(\w+)'", compiled[f"mart_{bucket}__daily"])
        assert set(read) == set(remembered), bucket


def test_marts_and_registry_have_the_same_symbols(sample_features):
    with duckdb.connect(str(sample_features.warehouse), read_only=True) as con:
        columns = {row[0] for row in con.execute("describe intermediate.int_prices__wide").fetchall()}
    closes = {name.removesuffix("_close").removeprefix("fx_").upper() for name in columns if name.endswith("_close")}
    assert closes == set(INSTRUMENTS.index)


# ---------------------------------------------------------------- tolerance in ticks


@pytest.mark.parametrize(("ticks", "is_read"), [(1, True), (5, True), (10, True), (12, True), (150, False)])
@pytest.mark.parametrize("side", ["high", "low"])
def test_a_settlement_a_few_ticks_outside_the_days_range_is_accepted(ticks, is_read, side, checked):
    table = bars().round(2)
    table.loc[4, "close"] = round(table.loc[4, side] + (1 if side == "high" else -1) * ticks * 0.01, 2)
    landing = checked({"bars_daily.csv": csv(table)})
    if is_read:
        assert landing.table("bars_daily")["close"][4].as_py() == table.loc[4, "close"]
        assert list(found(landing, "warning")) == (["ZL"] if ticks > 10 else [])
    else:
        with pytest.raises(LandingError, match="close lies outside low to high by more than 10 ticks"):
            landing.table("bars_daily")


# ---------------------------------------------------------------- paths are names


@pytest.mark.parametrize("folder", ["year=2021", "symbol=CL", "a[bc]", "what?", "all*", "with 'quotes' and %41", "x;y"])
def test_special_characters_in_a_path_are_not_interpreted(folder, sessions, tmp_path):
    names = ("bars_daily[1].csv", "bars_daily*.csv", "bars_daily_symbol=HO.parquet")
    contents = (csv(bars().head(4)), csv(bars().iloc[4:8]), parquet(bars().iloc[8:]))
    landed(tmp_path / folder, dict(zip(names, contents, strict=True)))
    landed(tmp_path, {"bars_daily1.csv": csv(bars().assign(close=48.0))})
    rows = Landing(LandingFolder(tmp_path / folder, "market"), sessions).table("bars_daily").to_pandas()
    assert len(rows) == len(bars())
    assert set(rows["symbol"]) == {"ZL"}
    assert list(rows) == [*TABLES["bars_daily"].columns, "data_source"]


# ---------------------------------------------------------------- nothing is ignored without a word


def test_ignored_files_are_named_with_a_fix(checked):
    files = dict.fromkeys(
        ("series.csv.gz", "bars_daily.pq", "notes.txt", "prices.csv", ".bars_daily.csv.tmp", "series.xlsx"), b"x"
    )
    landing = checked({"BARS_DAILY.CSV": csv(bars()), **files})
    (landing.folder.path / "old").mkdir()
    unread = dict(landing.folder.unread())
    assert set(unread) == {*files, "old"}
    assert "gunzip" in unread["series.csv.gz"]
    assert "rename it to .parquet" in unread["bars_daily.pq"]
    assert "names begin with bars_daily" in unread["prices.csv"]
    assert "move its files up" in unread["old"]
    assert set(found(landing, "warning")) == set(unread)
    assert landing.table("bars_daily").num_rows == len(bars())  # file names in capitals are read
    status = {row["file_name"]: row["status"] for row in landing.files().to_pylist()}
    assert status == {"BARS_DAILY.CSV": "read", **dict.fromkeys(unread, "not_read")}


@pytest.mark.parametrize("name", ["bars_daily.csv.gz", "bars_daily.pq", "readme.txt", "subfolder/bars_daily.csv"])
def test_a_folder_with_anything_in_it_never_falls_back_to_the_simulated_market(name, tmp_path, monkeypatch):
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    file = tmp_path / "landing" / name
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(csv(bars())))
    with pytest.raises(LandingError, match=f"though the folder holds {re.escape(name.split('/')[0])}"):
        find_landing()
    assert not (tmp_path / "sample").exists()


def test_a_data_folder_with_a_real_market_never_falls_back_to_the_simulated_one(tmp_path, monkeypatch):
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path))
    from zl_forecast.landing.plugin import Plugin

    with duckdb.connect() as con:
        con.execute(
            """
            attach ':memory:' as state;
            create schema state.forecasts;
            create table state.forecasts.zl_forecast_ledger as select 'market' as data_source
            """
        )
        plugin = Plugin("landing", {})
        plugin.configure_connection(con)
    with pytest.raises(LandingError, match="holds forecasts of a real market"):
        plugin.load(type("Source", (), {"identifier": "bars_daily"}))
    assert not (tmp_path / "sample").exists()


def test_unknown_names_are_listed_with_the_known_name_that_is_absent(checked):
    named = pd.concat([bars("CL=F", 70), bars("HOH24", 2.0), bars("XYZ", 3.0), bars()])
    landing = checked({"bars_daily.csv": csv(named), "series.csv": csv(series(series_id="dff"))})
    said = " ".join(sentences(landing.findings()))
    assert "CL=F (did you mean CL?)" in said
    assert "HOH24 (did you mean HO?)" in said
    assert "dff (did you mean DFF?)" in said
    assert "1 symbols that no feature reads: XYZ" in said


def test_newest_bars_under_another_symbol_are_reported_and_refused_for_zl(checked, year):
    late = year("CL").tail(10).assign(symbol="CL=F")
    good = pd.concat([year("CL").iloc[:-10], late, year("ZL")])
    landing = checked(
        {"bars_daily.csv": csv(good), "series.csv": csv(pd.concat([series().head(6), series(series_id="dff").tail(6)]))}
    )
    said = " ".join(sentences(landing.findings(), ("warning",)))
    assert "CL=F (did you mean CL, which ends on 2023-12-" in said
    assert "dff (did you mean DFF, which ends on 2024-01-30?)" in said
    names = [name for name in INSTRUMENTS.index if INSTRUMENTS.at[name, "calendar"] == "CMEGlobex_EnergyAndMetals"] + [
        "ZS",
        "ZC",
        "ZL",
    ]
    newest = pd.concat(
        [part for name in names for part in (year(name).iloc[:-5], year(name).tail(5).assign(symbol=f"{name}=F"))]
    )
    with pytest.raises(LandingError, match=r"no rows of ZL.*, after 2023-12-\d\d; ZL=F: did you mean ZL\?"):
        checked({"bars_daily.csv": csv(newest)}).table("bars_daily")


def test_a_bucket_that_no_mart_reads_is_a_warning(checked):
    landing = checked(
        {"bars_daily.csv": csv(bars()), "policy_events.csv": csv(pd.concat([events(), events(bucket="tarif")]))}
    )
    assert "tarif" in found(landing, "warning")["buckets"]


def test_zl_under_another_name_is_suggested(checked):
    with pytest.raises(LandingError, match=r"no rows of ZL.*ZL=F: did you mean ZL\?"):
        checked({"bars_daily.csv": csv(bars().assign(symbol="ZL=F"))}).table("bars_daily")


# ---------------------------------------------------------------- messages

TEXT = csv(bars())
LINES = TEXT.decode().splitlines()
VENDOR_FILES = {
    "european": (
        ("\ufeff" + bars().to_csv(index=False, sep=";", decimal=",", lineterminator="\r\n")).encode(),
        "semicolons",
        "line 1",
    ),
    "tabs": (TEXT.replace(b",", b"\t"), "tabs separate", "line 1"),
    "footer": (
        TEXT + b'"Downloaded from the vendor as of 01-03-2022"\n',
        "a footer",
        "line 14 has 1 value for 8 columns",
    ),
    "title": (b"Soybean oil, daily\n" + TEXT, "a title, 'Soybean oil, daily'", "the header is line 2"),
    "sep_line": (b"sep=,\n" + TEXT, "a hint for Excel", "the header is line 2"),
    "comment": (b"# exported\n\n" + TEXT, "a comment, '# exported'", "the header is line 3"),
    "utf16": (TEXT.decode().encode("utf-16"), "UTF-16", "CSV UTF-8"),
    "utf16 without a mark": (TEXT.decode().encode("utf-16-le"), "UTF-16", "CSV UTF-8"),
    "latin1": (TEXT.replace(b"ZLH4", "ZLÄ4".encode("latin1")), "not UTF-8 text", "line 2"),
    "gzip": (gzip.compress(TEXT), "is gzip", "gunzip"),
    "parquet": (parquet(bars()), "is Parquet, named as a CSV file", "rename it to .parquet"),
    "row_names": (
        "\n".join([LINES[0], *(f"{i},{line}" for i, line in enumerate(LINES[1:]))]).encode() + b"\n",
        "row names precede the columns",
        "line 2 has 9 values for 8 columns",
    ),
    "grew_a_column": (
        TEXT + b"ZL,2024-02-07,47,48,46,47,1,ZLH4,9\n",
        "a column was added from there on",
        "line 14 has 9 values",
    ),
    "a comma in a value": (
        TEXT.replace(b"47.05", b"47,05", 1),
        "Every line needs one value per column",
        "values for 8 columns",
    ),
    "decimal commas": (
        bars().to_csv(index=False, decimal=",").encode(),
        "not a DOUBLE, for example '47,0'",
        "decimal point",
    ),
    "html": (b"<!doctype html><html>", "is HTML or XML", "get the file again"),
    "json": (b'[{"symbol": "ZL"}]', "is JSON", "write its rows as CSV"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS", "git lfs pull"),
    "blank before a name": (
        TEXT.replace(b",as_of_date", b", As_of_date", 1),
        "except with other case or blanks: ' As_of_date'",
        "lower case",
    ),
    "named twice": (TEXT.replace(b"volume", b"close", 1), "column close: named twice", "Keep one column"),
}


@pytest.mark.parametrize("kind", VENDOR_FILES)
def test_a_vendor_file_is_refused_with_its_format_and_the_line(kind, checked):
    content, *says = VENDOR_FILES[kind]
    with pytest.raises(LandingError) as refused:
        checked({"bars_daily.csv": content}).table("bars_daily")
    assert all(part in str(refused.value) for part in says), str(refused.value)
    assert "half written" not in str(refused.value)


def test_a_byte_order_mark_and_windows_line_ends_are_read(checked):
    content = b"\xef\xbb\xbf" + TEXT.replace(b"\n", b"\r\n")
    assert checked({"bars_daily.csv": content}).table("bars_daily").num_rows == len(bars())


def test_contradicting_rows_are_named_with_columns_and_values(checked):
    twice = pd.concat([bars(), bars().tail(1).assign(close=47.2, volume=7)])
    with pytest.raises(
        LandingError, match=r"for example ZL 2024-02-06: close 47\.\d+ and 47\.\d+, volume (1000 and 7|7 and 1000)"
    ):
        checked({"bars_daily.csv": csv(twice)}).table("bars_daily")


def test_control_characters_in_data_do_not_reach_the_terminal(checked):
    evil = "\x1b]0;owned\x07\x1b[2J\u202eZL\r"
    landing = checked(
        {
            "bars_daily.csv": csv(pd.concat([bars(evil.rstrip("\r")), bars()])),
            "series.csv": csv(series(value=f"{evil[:-1]}1")),
            f"series_{evil}.txt".replace("/", ""): b"x",
        }
    )
    said = list(sentences(landing.findings()))
    assert len(said) >= 3
    assert all(line.isprintable() for line in said)
    with pytest.raises(LandingError) as refused:
        landing.table("series")
    assert str(refused.value).isprintable()
    assert "\\x1b" in str(refused.value)


def test_every_faulty_file_of_a_folder_is_reported(checked):
    landing = checked(
        {
            "bars_daily.csv": csv(bars().assign(close="n/a")),
            "bars_daily_2.csv": b"",
            "series.csv": csv(series(obs_date="soon")),
        }
    )
    assert set(found(landing, "refused")) == {"bars_daily.csv", "bars_daily_2.csv", "series.csv"}


def test_zl_check_prints_every_file_and_the_consequence_for_a_build(checked, year, capsys):
    good = csv(pd.concat([year("CL"), year("ZL")]))
    for files, is_good, says in (
        ({"bars_daily.csv": good}, True, "Nothing is refused. Next: make build"),
        (
            {"bars_daily.csv": csv(pd.concat([shifted(year("CL"), -1), year("ZL")]))},
            True,
            "1 quarantined: `make build` would leave out",
        ),
        (
            {"bars_daily.csv": good, "series.csv": csv(series(obs_date="soon"))},
            False,
            "1 refused: `make build` would stop",
        ),
    ):
        folder = checked(files).folder.path
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        assert cli.main(["check", str(folder)]) == (0 if is_good else 1)
        said = capsys.readouterr().out
        assert says in said
        assert all(name in said for name in files)
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert re.search(r"series.csv +REFUSED", said)


def test_the_plugin_reads_a_folder_once_and_again_when_a_file_has_changed(tmp_path, monkeypatch):
    from zl_forecast.landing import plugin as home

    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ZL_LANDING_DIR", str(landed(tmp_path / "landing", {"bars_daily.csv": csv(bars())})))
    reads = []
    monkeypatch.setattr(home, "Landing", lambda *arguments: reads.append(1) or Landing(*arguments))
    plugin = home.Plugin("landing", {})

    def rows(table: str) -> int:
        return plugin.load(type("Source", (), {"identifier": table})).num_rows

    assert [rows(table) for table in ("bars_daily", "series", "findings", "files")] == [12, 0, 0, 1]
    assert len(reads) == 1
    (tmp_path / "landing/bars_daily.csv").write_bytes(csv(bars().head(9)))
    assert rows("bars_daily") == 9
    assert len(reads) == 2


# ---------------------------------------------------------------- types and sizes


@pytest.mark.parametrize(
    "content",
    [
        TEXT.replace(b"ZLH4\n", b'"ZLH4\n', 1),
        TEXT.replace(b"ZLH4\n", b'"ZLH4\n', 1)[:-1] + b'"\n',
        TEXT.replace(b"\nZL,", b"\nZL\0,", 1),
        TEXT.replace(b"ZLH4\n", b"ZLH4\0\n", 1),
        TEXT.replace(b"ZLH4", "ZL\u200bH4".encode(), 1),
    ],
    ids=["open quote", "two stray quotes", "NUL in a symbol", "NUL in a contract", "zero-width space"],
)
def test_a_stray_quote_or_a_hidden_character_never_swallows_rows(content, checked):
    with pytest.raises(LandingError) as refused:
        checked({"bars_daily.csv": content}).table("bars_daily")
    assert refused.value.file == "bars_daily.csv"


@pytest.mark.parametrize("zone", ["-06:00", "+05:30", "Z"])
def test_parquet_offsets_are_read_as_in_csv(zone, checked):
    stamps = pa.array(
        pd.to_datetime(series()["available_on"]).dt.tz_localize(None if zone == "Z" else zone).to_list(),
        pa.timestamp("us", tz="UTC" if zone == "Z" else zone),
    )
    table = pa.Table.from_pandas(series().drop(columns="available_on"), preserve_index=False).append_column(
        "available_on", stamps
    )
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    landing = checked({"series.parquet": sink.getvalue().to_pybytes()})
    assert landing.table("series")["available_on"].to_pylist() == list(series()["available_on"])


def test_a_value_and_a_null_under_one_key_contradict_each_other(checked):
    twice = pd.concat([series().head(3), series(value=None).head(3)])
    with pytest.raises(LandingError, match=r"duplicate key.*value (5\.33 and none|none and 5\.33)"):
        checked({"series.csv": csv(twice)}).table("series")


def test_vintages_in_the_order_of_their_observations_are_read(checked):
    first, revised = series().head(3), series(available_on=date(2024, 3, 1), value=6.0).head(3)
    ordered = pd.concat([first, revised]).sort_values(["obs_date", "available_on"])
    assert checked({"series.csv": csv(ordered)}).table("series").num_rows == 6


def test_prices_of_the_sixties_are_read(checked, year):
    cheap = year("ZL")
    cheap[PRICES] /= cheap["close"].iloc[0] / 8.5
    assert checked({"bars_daily.csv": csv(cheap)}).table("bars_daily").num_rows == len(cheap)


def test_a_folder_without_bars_is_refused_without_traceback(checked, capsys):
    for files in ({}, {"series.csv": csv(series())}):
        assert cli.main(["check", str(checked(files).folder.path)]) == 1
        assert "no rows of ZL" in capsys.readouterr().out


def test_names_and_links_that_cannot_be_used_are_named(checked):
    folder = checked({"bars_daily.csv": csv(bars())}).folder.path
    (folder / "series.csv").symlink_to("nowhere.csv")
    (folder / "bars_\udcff.csv").write_bytes(b"x")
    landing = checked({})
    assert "link to a missing file" in found(landing, "refused")["series.csv"]
    assert "bars_\\udcff.csv" in found(landing, "warning")


@pytest.mark.parametrize("close", ["0x2f", "1_000", "47,5", "4 7", "true", "1e", "--47", "47.1.2"])
def test_text_that_resembles_a_number_is_refused(close, checked):
    table = bars().assign(close=bars()["close"].astype(object))
    table.loc[3, "close"] = close
    with pytest.raises(LandingError, match="not a DOUBLE"):
        checked({"bars_daily.csv": csv(table)}).table("bars_daily")


@pytest.mark.parametrize("wrong", [{"close": True}, {"volume": 10.5}, {"as_of_date": 19744}, {"close": b"47"}])
def test_another_type_in_parquet_is_refused(wrong, checked):
    with pytest.raises(LandingError, match=r"not a (DOUBLE|BIGINT|DATE)"):
        checked({"bars_daily.parquet": parquet(bars().assign(**wrong))}).table("bars_daily")


def test_integers_decimals_and_categories_in_parquet_are_read(checked):
    table = pa.Table.from_pandas(
        bars().assign(symbol=bars()["symbol"].astype("category"), volume=1000.0), preserve_index=False
    )
    table = table.set_column(3, "high", table["high"].cast(pa.decimal128(12, 4)))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    rows = checked({"bars_daily.parquet": sink.getvalue().to_pybytes()}).table("bars_daily")
    assert rows["volume"].to_pylist() == [1000] * len(bars())
    assert rows["high"].to_pylist() == pytest.approx(list(bars()["high"]), abs=1e-4)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_file_too_large_for_daily_rows_is_refused_before_it_is_unpacked(suffix, checked, monkeypatch):
    monkeypatch.setattr(read, "MAX_BYTES", 500)
    with pytest.raises(LandingError, match=r"holds .*GB of values; a landing file has at most"):
        checked({f"bars_daily.{suffix}": {"csv": csv, "parquet": parquet}[suffix](bars())}).table("bars_daily")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_text_of_a_million_characters_is_refused_at_once(suffix, checked):
    table = bars().assign(symbol=["ZL"] * 11 + ["x" * 1_000_000])
    for long in (table, table.assign(symbol=table["symbol"].astype("category"))):
        with pytest.raises(LandingError, match="column symbol: holds a text of 1,000,000 bytes"):
            checked({f"bars_daily.{suffix}": {"csv": csv, "parquet": parquet}[suffix](long)}).table("bars_daily")


# ---------------------------------------------------------------- fuzz


def mangled(content: str, rng: np.random.Generator) -> str:
    """Change a CSV text at random one to three times: a byte, a cell, a line or a delimiter."""
    for _ in range(rng.integers(1, 4)):
        lines = content.split("\n")
        row, where = int(rng.integers(0, len(lines))), int(rng.integers(0, max(len(content), 1)))
        cells = lines[row].split(",")
        cell = int(rng.integers(0, len(cells)))
        match rng.integers(0, 9):
            case 0:
                content = content[:where] + rng.choice(list('0123456789.-,"\n;xe \t')) + content[where:]
            case 1:
                content = content[:where] + content[where + 1 :]
            case 2:
                cells[cell] = str(
                    rng.choice(["", "nan", "inf", "1e400", "2024-02-30", "0x1f", "1_0", "12:00", "ZL", "-1", '"'])
                )
                lines[row] = ",".join(cells)
                content = "\n".join(lines)
            case 3:
                content = "\n".join([*lines[:row], *lines[row + 1 :]])
            case 4:
                content = "\n".join([*lines[:row], lines[row], *lines[row:]])
            case 5:
                content = content[:where]
            case 6:
                lines[row] = ",".join(cells[::-1])
                content = "\n".join(lines)
            case 7:
                content = content.replace(*rng.choice([(",", ";"), ("2024-01", "2024-1"), (".", ","), ("-", "/")]))
            case 8:
                other = int(rng.integers(0, len(lines)))
                lines[row], lines[other] = lines[other], lines[row]
                content = "\n".join(lines)
    return content


def second_reading(content: str, name: str) -> pd.DataFrame:
    """Read the same rows with pandas, without types."""
    from io import StringIO

    frame = pd.read_csv(StringIO(content), dtype=str, keep_default_na=False, skip_blank_lines=True, index_col=False)
    return frame[list(TABLES[name].columns)]


@pytest.mark.parametrize("n", [40, pytest.param(400, marks=pytest.mark.full)])
def test_a_mangled_file_is_refused_clearly_or_read_as_pandas_reads_it(n, sessions, tmp_path):
    originals = {"bars_daily": both(), "series": series(), "policy_events": events()}
    rng, outcomes = np.random.default_rng(n), {"refused": 0, "read": 0}
    for number in range(n):
        name = list(originals)[number % 3]
        content = mangled(csv(originals[name]).decode(), rng)
        landing = Landing(
            LandingFolder(landed(tmp_path / str(number), {f"{name}.csv": content.encode()}), "market"), sessions
        )
        refusals = [
            row for row in landing.findings().to_pylist() if row["severity"] == "refused" and row["table_name"] == name
        ]
        outcomes["refused" if refusals else "read"] += 1
        for refusal in refusals:
            assert f"{name}.csv" in refusal["problem"], refusal
            assert refusal["remedy"].endswith("."), refusal
        if refusals:
            continue
        rows = landing.table(name).to_pandas()
        expected = second_reading(content, name)
        key = [column for column in TABLES[name].key if column not in ("title",)]
        left = {tuple(map(str, row)) for row in rows[key].itertuples(index=False)}
        clean = expected[key].apply(lambda column: column.str.strip())
        for column in {"symbol": str.upper, "bucket": str.lower}.items():
            if column[0] in clean:
                clean[column[0]] = clean[column[0]].map(column[1])
        dropped = {row["subject"] for row in landing.findings().to_pylist() if row["severity"] == "warning"}
        right = {
            tuple(text[:10] if text[:2] == "20" else text for text in row) for row in clean.itertuples(index=False)
        }
        assert left <= right, content
        assert (
            left == right
            or dropped
            or expected[TABLES[name].value or key[0]].str.strip().isin(["", "nan", "inf"]).any()
        ), content
        for column in [c for c, kind in TABLES[name].columns.items() if kind == "DOUBLE"]:
            ours = sorted(rows[column].dropna())
            theirs = {float(text) for text in expected[column] if re.fullmatch(r"\s*[-+]?[0-9.]+(e[-+]?\d+)?\s*", text)}
            assert set(ours) <= {0.0} | theirs, content
    assert min(outcomes.values()) > n // 20

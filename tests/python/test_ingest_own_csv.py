"""CSV files of any form become bars and the curve by a mapping: forms, units, ghost bars, errors that say where, proposals."""

from pathlib import Path

import pandas as pd
import pytest

from zl_forecast import cli
from zl_forecast.errors import LandingError
from zl_forecast.ingest import ingest
from zl_forecast.ingest.bars.mapped_csv import load_mapping, read_mappings
from zl_forecast.ingest.bars.sessions import sessions_of
from zl_forecast.ingest.propose import propose_mapping

NOW = pd.Timestamp("2024-07-10 23:00", tz="UTC")
PLAIN = 'files = "x.csv"\nsymbol = "ZL"\n[columns]\ndate = "Date"\nopen = "Open"\nhigh = "High"\nlow = "Low"\nclose = "Close"\n'
HEADER = "Date,Open,High,Low,Close\n"


def _read(folder: Path, mapping: str, content: str | bytes, name: str = "x.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    (folder / "x.toml").write_text(mapping)
    return read_mappings([folder / "x.toml"], NOW)


# ---------------------------------------------------------------- forms


@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ("", "Date,Open,High,Low,Close\n2024-03-08,44.9,45.5,44.5,45.12\n"),
        (
            'separator = ";"\ndecimal = ","\ndate_format = "%d.%m.%Y"\n',
            "Date;Open;High;Low;Close\n08.03.2024;44,9;45,5;44,5;45,12\n",
        ),
        (
            'date_format = "%b %d, %Y"\n',
            '"Date","Open","High","Low","Close"\n"Mar 08, 2024","44.9","45.5","44.5","45.12"\n',
        ),
        (
            'encoding = "utf-16"\nseparator = "\\t"\n',
            "Date\tOpen\tHigh\tLow\tClose\n2024-03-08\t44.9\t45.5\t44.5\t45.12\n".encode("utf-16"),
        ),
        (
            "skip_lines = 2\nskip_last_lines = 1\n",
            "Soybean oil\n\n" + HEADER + "2024-03-08,44.9,45.5,44.5,45.12\nDownloaded from a vendor\n\n",
        ),
        ("[factors]\nZL = 100\n", HEADER + "2024-03-08,0.449,0.455,0.445,0.4512\n"),
        ('thousands = ","\n[factors]\nZL = 0.01\n', HEADER + '2024-03-08,"4,490","4,550","4,450","4,512"\n'),
        ("", "\ufeffDate,Open,High,Low,Close\r\n2024-03-08,$44.9,45.5,44.5,45.12\r\n"),
    ],
    ids=["plain", "decimal commas", "quoted", "utf-16", "title and footer", "dollars", "thousands", "byte order mark"],
)
def test_files_of_every_form_give_the_same_bar(tmp_path, settings, content):
    top, _, factors = settings.partition("[factors]")
    mapping = top + PLAIN + (f"[factors]{factors}" if factors else "")
    (bar,) = _read(tmp_path, mapping, content).bars.to_dict("records")
    assert (bar["symbol"], str(bar["as_of_date"].date())) == ("ZL", "2024-03-08")
    assert [bar[name] for name in ("open", "high", "low", "close")] == pytest.approx([44.9, 45.5, 44.5, 45.12])
    assert pd.isna(bar["volume"])
    assert pd.isna(bar["contract_id"])


def test_volume_with_a_suffix_and_missing_values_are_read(tmp_path):
    mapping = PLAIN + 'volume = "Vol."\ncontract_id = "Month"\n'
    content = "Date,Open,High,Low,Close,Vol.,Month\n2024-03-07,45,45.5,44.5,45.1,11.24K,H24\n2024-03-08,45,,-,45.2,-,H24\n2024-03-11,,,,,,K24\n"
    read = _read(tmp_path, mapping, content)
    assert read.bars["volume"].tolist() == [11240, pd.NA]
    assert read.bars["high"].isna().tolist() == [False, True]
    assert read.bars["contract_id"].tolist() == ["H24", "H24"]
    assert "ZL: 1 row without a close left out" in read.notes


def test_the_symbol_may_be_in_a_column_in_the_spelling_of_any_vendor(tmp_path):
    mapping = PLAIN.replace('symbol = "ZL"\n', "") + 'symbol = "Ticker"\n'
    rows = [("@BO#", 45.0), ("CL=F", 80.0), ("ES1!", 5200.0), ("XYZ", 1.0)]
    content = (
        "Ticker," + HEADER + "".join(f"{name},2024-03-08,{price},{price},{price},{price}\n" for name, price in rows)
    )
    read = _read(tmp_path, mapping, content)
    assert dict(zip(read.bars["symbol"], read.bars["close"], strict=True)) == {"ZL": 45.0, "CL": 80.0, "ES": 5200.0}
    assert any("1 symbol that the project does not read, such as XYZ" in note for note in read.notes)


def test_single_contracts_in_files_of_their_own_are_rolled_and_give_the_curve(tmp_path):
    mapping = 'files = "*.csv"\nsymbol = "file name"\n[columns]\ndate = "Date"\nopen = "Open"\nclose = "Last"\nsettle = "Settle"\nvolume = "V"\nopen_interest = "OI"\n'
    days = ["2024-02-12", "2024-02-13", "2024-02-14"]
    header = "Date,Open,Last,Settle,V,OI\n"
    for name, price, volumes in (("ZLH24", 45.0, (9, 4, 9)), ("BOK4_daily", 46.0, (5, 8, 5))):
        lines = [
            f"{day},{price},{price + 0.1},{price + 0.2},{volume},70\n"
            for day, volume in zip(days, volumes, strict=True)
        ]
        (tmp_path / f"{name}.csv").write_text(header + "".join(lines))
    (tmp_path / "x.toml").write_text(mapping)
    read = read_mappings([tmp_path / "x.toml"], NOW)
    assert list(zip(read.bars["as_of_date"].dt.day, read.bars["contract_id"], read.bars["close"], strict=True)) == [
        (13, "ZLH24", 45.1),
        (14, "ZLK24", 46.1),
    ]
    newest = read.curve[read.curve["as_of_date"] == "2024-02-14"]
    assert newest["settle"].tolist() == [45.2, 46.2]
    assert newest["open_interest"].tolist() == [70, 70]


def test_contracts_without_volume_are_rolled_by_open_interest(tmp_path):
    mapping = PLAIN.replace('symbol = "ZL"\n', "") + 'symbol = "S"\nopen_interest = "OI"\n'
    rows = [(day, text, oi) for day in (12, 13, 14) for text, oi in (("ZLH24", 90), ("ZLK24", 80 if day < 13 else 95))]
    lines = [f"{text},2024-02-{day},45,45,45,45,{oi}\n" for day, text, oi in rows]
    read = _read(tmp_path, mapping, "S," + HEADER.strip() + ",OI\n" + "".join(lines))
    assert read.bars["contract_id"].tolist() == ["ZLH24", "ZLK24"]
    assert read.bars["volume"].isna().all()


def test_rows_shorter_than_a_day_become_trade_dates_of_chicago(tmp_path):
    mapping = 'time_zone = "Europe/Berlin"\ndate_format = "%Y-%m-%d %H:%M"\n' + PLAIN
    stamps = [
        "2024-03-07 15:00",
        "2024-03-07 19:00",
        "2024-03-08 01:00",
        "2024-03-08 19:00",
        "2024-03-11 00:00",
        "2024-03-11 18:00",
    ]
    lines = [
        f"{stamp},{45 + number},{45 + number},{45 + number},{45 + number}\n" for number, stamp in enumerate(stamps)
    ]
    bars = _read(tmp_path, mapping, HEADER + "".join(lines)).bars
    assert bars["as_of_date"].dt.day.tolist() == [7, 8, 11]  # on 11 March Chicago has summer time, Berlin not yet
    assert bars["open"].tolist() == [45.0, 47.0, 49.0]
    assert bars["close"].tolist() == [46.0, 48.0, 50.0]


def test_a_newest_session_that_is_not_over_is_left_out(tmp_path):
    days = sessions_of("ZL", pd.Timestamp("2024-07-01"), pd.Timestamp("2024-07-11")).strftime("%Y-%m-%d")
    read = _read(tmp_path, PLAIN, HEADER + "".join(f"{day},45,45.5,44.5,45.1\n" for day in days))
    assert str(read.bars["as_of_date"].max().date()) == "2024-07-10"  # it is 18:00 in Chicago on the 10th
    assert any("2024-07-11: the session has not ended" in note for note in read.notes)
    mapping = 'time_zone = "America/Chicago"\ndate_format = "%Y-%m-%d %H:%M"\n' + PLAIN
    hours = [f"{day} {hour:02}:00,45,45,45,45\n" for day in days[:-1] for hour in range(8, 14)]
    cut = _read(tmp_path, mapping, HEADER + "".join(hours[:-3]))
    assert str(cut.bars["as_of_date"].max().date()) == "2024-07-09"
    assert any("2024-07-10: the rows end early" in note for note in cut.notes)


# ---------------------------------------------------------------- faults of vendors


def test_flat_bars_on_holidays_are_left_out_and_named_and_real_sessions_stay(tmp_path):
    content = (
        HEADER
        + "2024-03-27,47,47.5,46.5,47.1\n2024-03-28,47.1,47.1,47.1,47.1\n2024-03-29,47.1,47.1,47.1,47.1\n2024-04-01,47.1,47.5,46.5,47.2\n"
    )
    read = _read(tmp_path, PLAIN, content)
    assert read.bars["as_of_date"].dt.day.tolist() == [27, 28, 1]  # 28 March was a session; the 29th was Good Friday
    assert any("1 bar on days without a session" in note and "2024-03-29" in note for note in read.notes)


def test_weekly_bars_are_refused(tmp_path):
    days = pd.date_range("2024-01-01", periods=20, freq="7D").strftime("%Y-%m-%d")
    with pytest.raises(LandingError, match=r"x\.csv: the bars of ZL are 7 days apart\. .*download daily ones"):
        _read(tmp_path, PLAIN, HEADER + "".join(f"{day},45,45.5,44.5,45.1\n" for day in days))


@pytest.mark.parametrize(
    ("price", "suggestion"),
    [(0.45, "ZL = 100 (USD instead of cents)"), (992.0, "ZL = 0.0453593 (USD/t instead of cents/lb)")],
)
def test_prices_in_another_unit_are_refused_with_the_factor(tmp_path, price, suggestion):
    with pytest.raises(LandingError) as raised:
        _read(tmp_path, PLAIN, HEADER + f"2024-03-08,{price},{price},{price},{price}\n")
    assert suggestion in str(raised.value)


def test_two_files_may_share_rows_but_not_contradict_each_other(tmp_path):
    for name, close in (("a", 45.1), ("b", 45.1)):
        (tmp_path / f"{name}.csv").write_text(HEADER + f"2024-03-07,45,45.5,44.5,45\n2024-03-08,45,45.5,44.5,{close}\n")
    (tmp_path / "x.toml").write_text(PLAIN.replace("x.csv", "*.csv"))
    assert len(read_mappings([tmp_path / "x.toml"], NOW).bars) == 2
    (tmp_path / "b.csv").write_text(HEADER + "2024-03-08,45,45.5,44.5,45.3\n")
    with pytest.raises(
        LandingError,
        match=r"a\.csv, line 3, and .*b\.csv, line 2: two different bars of ZL on 2024-03-08: close 45\.1 and 45\.3",
    ):
        read_mappings([tmp_path / "x.toml"], NOW)


@pytest.mark.parametrize(
    ("mapping", "content", "says"),
    [
        (
            PLAIN,
            HEADER + "2024-03-07,45,45.5,44.5,45\n2024-03-08,45,45.5,44.5,45'4\n",
            r"x\.csv, line 3, column Close: \"45'4\" is not a number",
        ),
        (
            PLAIN,
            HEADER + '2024-03-08,45,45,45,"1,045.5"\n',
            r"line 2, column Close: '1,045\.5' is not a number .*thousands",
        ),
        (
            PLAIN,
            HEADER + "03/08/2024,45,45,45,45\n",
            r"line 2, column Date: '03/08/2024' is not a date of the form %Y-%m-%d .*date_format",
        ),
        (
            PLAIN,
            HEADER + "2024-03-08,45,45,45,45\nDownloaded today\n",
            r"line 3, column Date: 'Downloaded today' .*skip_last_lines",
        ),
        (
            PLAIN,
            "Date;Open;High;Low;Close\n2024-03-08;45;45;45;45\n",
            r"has no column for date = 'Date'.*Correct \[columns\], separator",
        ),
        (PLAIN, HEADER + "2024-03-08,45,45,45,45,12\n", r"x\.csv: cannot be read as CSV"),
        (PLAIN, b"Date,Open,High,Low,Close\n2024-03-08,45,45,45,45\xff\n", r"cannot be read as CSV.*encoding"),
        (
            'decimal = ","\n' + PLAIN,
            "Date,Open,High,Low,Close\n2024-03-08,45.1,45,45,45\n",
            r"line 2, column Open: '45\.1' is not a number",
        ),
        (
            'date_format = "%Y-%m-%d %H:%M"\n' + PLAIN,
            HEADER + "2024-03-08 14:00,45,45,45,45\n",
            r"has a time.*set time_zone",
        ),
        ('time_zone = "Chicago"\n' + PLAIN, HEADER + "2024-03-08,45,45,45,45\n", r"times of Chicago.*America/Chicago"),
        (PLAIN.replace('"ZL"', '"file name"'), HEADER + "2024-03-08,45,45,45,45\n", r"its name holds no known future"),
        (PLAIN.replace("x.csv", "y.csv"), HEADER, r"no file matches y\.csv"),
        (PLAIN.replace("x.csv", "/x.csv"), HEADER, r"files is '/x\.csv'.*relative to"),
        (PLAIN, HEADER, r"x\.csv: holds no rows"),
        (
            PLAIN,
            HEADER + "2024-03-07,45,45,45,45\n2024-03-08,45,45",
            r"line 3: the last line has fewer values .* the file is cut",
        ),
        (PLAIN, HEADER + "2024-03-08,45,45,45,inf\n", r"'inf' is not a number"),
        (
            PLAIN.replace('"ZL"', '"ZLH24"'),
            HEADER + "2024-03-08,45,45,45,45\n",
            r"single contracts without volume and open interest",
        ),
        (
            PLAIN.replace('symbol = "ZL"', ""),
            "S," + HEADER + "XYZ,2024-03-08,45,45,45,45\n",
            r"no bar of a future .*such as XYZ",
        ),
    ],
)
def test_an_error_names_file_line_value_and_remedy(tmp_path, mapping, content, says):
    if content.startswith("S," if isinstance(content, str) else b"S,"):
        mapping += 'symbol = "S"\n'
    with pytest.raises(LandingError, match=says):
        _read(tmp_path, mapping, content)


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ("files = x.csv", "is not TOML"),
        ("", "does not name its files"),
        ('files = "x.csv"\nfactors = 3\n', r"factors is 3\. Write a table: \[factors\]"),
        ('files = ["x.csv"]\n[columns]\ndate = "D"\nclose = "C"\n', r"files is \['x\.csv'\]"),
        (PLAIN + 'settel = "x"\n', r"\[columns\] settel is unknown, did you mean settle\?"),
        ('seperator = ";"\n' + PLAIN, "seperator is unknown, did you mean separator"),
        (PLAIN + "[factors]\nBO = 2\n", r"\[factors\] BO is unknown"),
        (PLAIN + '[factors]\nZL = "2"\n', r"\[factors\] ZL is '2'"),
        (PLAIN.replace('"ZL"', '"QQ"'), "symbol 'QQ' is unknown"),
        (PLAIN.replace('symbol = "ZL"\n', ""), "does not say which future"),
        (PLAIN.replace('close = "Close"\n', ""), "has neither close nor settle"),
        (PLAIN.replace('date = "Date"\n', ""), "has no date"),
        ('skip_lines = "2"\n' + PLAIN, "skip_lines is '2'"),
    ],
)
def test_a_wrong_mapping_is_refused(tmp_path, mapping, says):
    (tmp_path / "x.toml").write_text(mapping)
    with pytest.raises(LandingError, match=says):
        load_mapping(tmp_path / "x.toml")


# ---------------------------------------------------------------- landing


@pytest.fixture
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("ZL_LANDING_DIR", str(tmp_path / "landing"))
    monkeypatch.delenv("ZL_CSV_DIR", raising=False)
    (tmp_path / "data" / "csv").mkdir(parents=True)
    return tmp_path


def _ingest():
    (outcome,) = ingest(["own_csv"])
    return outcome


def test_files_are_landed_once_and_a_replaced_file_replaces_its_rows(folders):
    assert _ingest().state == "skipped"
    days = sessions_of("ZL", pd.Timestamp("2024-01-02"), pd.Timestamp("2024-06-28")).strftime("%Y-%m-%d")
    lines = [f"{day},45,45.5,44.5,45.1\n" for day in days]
    (folders / "data" / "csv" / "zl.toml").write_text(PLAIN)
    (folders / "data" / "csv" / "x.csv").write_text(HEADER + "".join(lines))
    assert (_ingest().n_new, _ingest().state) == (len(days), "unchanged")
    landed = folders / "landing" / "bars_daily_own_csv.parquet"
    (folders / "data" / "csv" / "x.csv").write_text(
        HEADER + "".join(lines).replace("45.1", "45.2", 1).replace(lines[9], "")
    )
    assert _ingest().n_revised == 1
    bars = pd.read_parquet(landed)
    assert len(bars) == len(days) - 1  # the row that the file no longer has is gone
    (folders / "data" / "csv" / "x.csv").write_text(HEADER + "".join(lines[:-5]))
    before = landed.read_bytes()
    outcome = _ingest()
    assert outcome.state == "failed"
    assert "would be lost" in outcome.reason
    assert landed.read_bytes() == before


def test_a_folder_that_does_not_exist_is_an_error_if_it_was_named(folders, monkeypatch):
    monkeypatch.setenv("ZL_CSV_DIR", str(folders / "nowhere"))
    outcome = _ingest()
    assert outcome.state == "failed"
    assert "ZL_CSV_DIR names" in outcome.reason


def test_an_error_in_a_file_is_the_reason_of_the_run_and_lands_nothing(folders):
    (folders / "data" / "csv" / "zl.toml").write_text(PLAIN)
    (folders / "data" / "csv" / "x.csv").write_text(HEADER + "2024-03-08,45,45,45,x\n")
    outcome = _ingest()
    assert outcome.state == "failed"
    assert "x.csv, line 2, column Close: 'x' is not a number" in outcome.reason
    assert not (folders / "landing").exists()


# ---------------------------------------------------------------- proposals

FORMS = {
    "bo_pl.csv": (
        "Data;Otwarcie;Najwyzszy;Najnizszy;Zamkniecie;Wolumen\n07.03.2024;44,9;45,5;44,5;45,1;1.200\n28.03.2024;45,1;45,5;44,5;45,2;1200\n",
        2,
    ),
    "ZL.csv": (
        'Soybean oil\n"Date","Price","Open","High","Low","Vol."\n"Mar 07, 2024","45.1","44.9","45.5","44.5","1.2K"\n',
        1,
    ),
    "ZLH24.csv": (
        "Time,Open,High,Low,Latest,Volume,Open Interest\n03/07/2024,44.9,45.5,44.5,45.1,1200,5\n03/13/2024,44.9,45.5,44.5,45.2,1200,5\n",
        1,
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_a_proposed_mapping_reads_its_file(tmp_path, name):
    content, n_bars = FORMS[name]
    (tmp_path / name).write_text(content)
    (tmp_path / "x.toml").write_text(propose_mapping(tmp_path / name))
    bars = read_mappings([tmp_path / "x.toml"], NOW).bars
    assert len(bars) == n_bars
    assert set(bars["symbol"]) == {"ZL"}
    assert bars["volume"].tolist() == [1200] * n_bars


def test_what_the_file_does_not_show_is_marked_and_a_file_without_a_header_is_refused(tmp_path, capsys):
    path = tmp_path / "prices.csv"
    path.write_text("Date,Close\n03/04/2024,45\n03/05/2024,45\n03/06/2024,45\n")
    assert cli.main(["mapping", str(path)]) == 0
    written = capsys.readouterr().out
    assert 'date_format = "%m/%d/%Y"  # check: %d/%m/%Y also fits' in written  # one day apart, not one month
    assert 'symbol = "ZL"  # check' in written
    path.write_text("Exceeded the daily hits limit\n")
    assert cli.main(["mapping", str(path)]) == 1
    assert "has no line with names such as Date, Open, High, Low, Close" in capsys.readouterr().err


# ---------------------------------------------------------------- real files, where they are present


@pytest.fixture(scope="module")
def real_forms(real_landing) -> Path:
    folder = real_landing.parent / "formats" / "prices"
    if not folder.is_dir():
        pytest.skip(f"no real files: {folder} is absent")
    return folder


def _read_real(path: Path, folder: Path, **changes: str):
    (folder / path.name).write_bytes(path.read_bytes())
    mapping = propose_mapping(path)
    for old, new in changes.items():
        mapping = mapping.replace(old, new)
    (folder / "x.toml").write_text(mapping)
    return read_mappings([folder / "x.toml"], NOW)


def test_real_files_of_vendors_are_read_as_proposed(real_forms, tmp_path):
    chris = _read_real(real_forms / "nasdaq_data_link_CHRIS_style_ZL.csv", tmp_path)
    assert len(chris.bars) > 90
    assert any("2012-04-06" in note for note in chris.notes)  # flat, without volume, on Good Friday
    assert "2010-04-05" in chris.bars["as_of_date"].astype(str).tolist()  # without volume, but a session
    polish = _read_real(real_forms / "stooq_pl_header_cl_f_d.csv", tmp_path)
    assert set(polish.bars["symbol"]) == {"CL"}
    assert polish.bars["volume"].isna().sum() > 5  # the first rows have no volume
    sina = _read_real(real_forms / "sina_BO_daily_holiday_ghost_bars.csv", tmp_path)
    (note,) = [note for note in sina.notes if "without a session" in note]
    for day in ("2016-11-24", "2016-12-26", "2017-01-02", "2017-04-14", "2017-07-04"):
        assert day in note
    with pytest.raises(LandingError, match="the bars of ZL are 7 days apart"):
        _read_real(real_forms / "investing_com_soyoil_weekly.csv", tmp_path)

"""Pink sheet, trade policy uncertainty, geopolitical risk and RIN prices: formats, failures, and days of publication."""

import io
import os
import sqlite3
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
import small_files as small
from publishers import Answer, Publishers, ingest_one, isolate
from small_files import DAYS, GPR, MONTHS, PAGE, TPU, UPDATED, WEEKS, WORKBOOK

from zl_forecast.ingest.adapters import epa, gpr, policyuncertainty, worldbank
from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError, load_series, load_sources

OILS = list(small.OILS)
FILE_OF = {"worldbank": WORKBOOK, "policyuncertainty": TPU, "gpr": GPR}
SOURCES = (*FILE_OF, "epa")


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and no keys or folders of the user's."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def publishers():
    with Publishers(small.answers()) as publishers:
        yield publishers


@pytest.fixture
def run(data_dir):
    """Return a function that ingests one source, and returns its outcome and the landed rows."""
    return partial(ingest_one, data_dir)


@pytest.fixture
def export(data_dir):
    """Return a function that puts a file into EPA's folder, saved at an hour of today."""

    def export(content: str | bytes, name: str = "table.csv", hour: int = 1) -> None:
        folder = data_dir / "epa"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(folder / name, (hour * 3600, hour * 3600))

    return export


@pytest.fixture
def days_ago(data_dir):
    """Return a function that sets the last pulls back, as if they had been some days ago."""

    def days_ago(days: int) -> None:
        with sqlite3.connect(data_dir / "ingest/ingest.sqlite") as con:
            con.execute("update pulls set pulled_at = ?", ((datetime.now(UTC) - timedelta(days=days)).isoformat(),))

    return days_ago


def newest(rows: pd.DataFrame, series_id: str) -> dict[str, float]:
    own = rows[rows["series_id"] == series_id].sort_values(["obs_date", "available_on"])
    return {f"{day:%Y-%m-%d}": value for day, value in own.groupby("obs_date")["value"].last().items()}


def of_day(rows: pd.DataFrame, series_id: str, day: pd.Timestamp) -> list[tuple]:
    own = rows[(rows["series_id"] == series_id) & (pd.to_datetime(rows["obs_date"]) == day)]
    return [(row.available_on, row.value, row.available_by) for row in own.itertuples()]


def due(source: str, day: pd.Timestamp):
    return available_by_rule(pd.Series([day]), load_series(source).iloc[0]).iloc[0].date()


# ---------------------------------------------------------------- what all of them have in common


@pytest.mark.parametrize(
    ("source", "series_id", "expected"),
    [
        ("worldbank", "WB_SOYBEAN_OIL", {f"{day:%Y-%m-%d}": small.oil_price("Soybean oil", day) for day in MONTHS}),
        ("policyuncertainty", "TPU_BBD_DAILY", {f"{day:%Y-%m-%d}": small.index_value(day) for day in DAYS}),
        ("gpr", "GPRD", {f"{day:%Y-%m-%d}": small.index_value(day) for day in DAYS}),
        ("epa", "EPA_RIN_D4_CURR", {f"{day:%Y-%m-%d}": small.rin_price("D4", day) for day in WEEKS}),
    ],
)
def test_a_source_lands_by_its_rule_and_a_second_run_changes_no_byte(
    publishers, run, export, data_dir, source, series_id, expected
):
    export(small.epa())
    outcome, rows = run(source)
    assert (outcome.state, outcome.reason) == ("landed", "")
    assert newest(rows, series_id) == expected
    assert set(rows["series_id"]) == set(load_series(source).index)
    assert set(rows["available_by"]) == {"rule"}
    own = rows[rows["series_id"] == series_id]
    by_rule = available_by_rule(pd.to_datetime(own["obs_date"]), load_series(source).loc[series_id])
    assert (pd.to_datetime(own["available_on"]) == by_rule).all()
    before = (data_dir / f"landing/series_{source}.parquet").stat().st_mtime_ns
    assert run(source)[0].state == "unchanged"
    assert (data_dir / f"landing/series_{source}.parquet").stat().st_mtime_ns == before


@pytest.mark.parametrize("source", FILE_OF)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("slow down", 429), "answered 429, after 5 attempts"),
        (Answer("error", 500), "answered 500, after 5 attempts"),
        (Answer("no", 403), "answered 403"),
        (Answer(b"PK" + b"x" * 900, missing_bytes=100), "after 5 attempts"),
        (Answer("<!DOCTYPE html><html>maintenance</html>"), "sent a web page instead of"),
        (Answer(""), "sent an empty document"),
        (Answer(b"\x00\xff\xfe" * 400), "."),
    ],
    ids=["429", "500", "403", "cut", "a web page", "empty", "other bytes"],
)
def test_a_failure_is_named_and_leaves_the_landing_file(publishers, run, data_dir, source, answer, words):
    run(source)
    before = (data_dir / f"landing/series_{source}.parquet").read_bytes()
    publishers.answers[FILE_OF[source]] = answer
    outcome, _ = run(source)
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert "defect" not in outcome.reason
    assert (data_dir / f"landing/series_{source}.parquet").read_bytes() == before


def test_a_page_of_the_world_bank_that_fails_is_named(publishers, run):
    publishers.answers[PAGE] = Answer("no", 403)
    outcome, _ = run("worldbank")
    assert outcome.state == "failed"
    assert "page of commodity markets: www.worldbank.org answered 403. See https://www.worldbank.org" in outcome.reason


REVISED = {
    "worldbank": (WORKBOOK, small.workbook(cells={("Palm oil", MONTHS[-2]): 1.5}), "WB_PALM_OIL", MONTHS[-2]),
    "policyuncertainty": (TPU, small.tpu(changed={f"{DAYS[-20]:%Y-%m-%d}": 1.5}), "TPU_BBD_DAILY", DAYS[-20]),
    "gpr": (GPR, small.gpr(changed={f"{DAYS[-20]:%Y-%m-%d}": 1.5}), "GPRD", DAYS[-20]),
    "epa": (None, small.epa(changed={("D4", f"{WEEKS[-2]:%Y-%m-%d}"): "$1.5"}), "EPA_RIN_D4_CURR", WEEKS[-2]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_revised_value_is_a_new_row_of_today(publishers, run, export, source):
    export(small.epa())
    _, before = run(source)
    path, body, series_id, day = REVISED[source]
    export(body) if path is None else publishers.answers.update({path: body})
    outcome, after = run(source)
    assert (outcome.state, outcome.n_new, outcome.n_revised) == ("landed", 0, 1)
    assert len(after.merge(before, how="inner")) == len(before)
    (was, _, _), (is_now, value, by) = of_day(after, series_id, day)
    assert (value, by) == (1.5, "capture")
    today = trade_date(datetime.now(UTC))
    assert is_now == max(today, was + timedelta(days=1))


@pytest.mark.parametrize("source", FILE_OF)
def test_rows_out_of_order_and_equal_rows_are_read_and_contradictory_ones_refused(publishers, run, source):
    _, right = run(source)
    build = {"worldbank": small.workbook, "policyuncertainty": small.tpu, "gpr": small.gpr}[source]
    days = list((MONTHS if source == "worldbank" else DAYS)[::-1])
    name = "months" if source == "worldbank" else "days"
    publishers.answers[FILE_OF[source]] = build(**{name: [*days, days[3]]})
    outcome, rows = run(source)
    assert outcome.state == "unchanged"
    pd.testing.assert_frame_equal(rows, right)
    publishers.answers[FILE_OF[source]] = build(**{name: days}, more=(days[3], 7.5))
    outcome, rows = run(source)
    assert outcome.state == "failed"
    assert f"two different values for 1 of its dates, first {days[3]:%Y-%m-%d}" in outcome.reason
    pd.testing.assert_frame_equal(rows, right)


@pytest.mark.parametrize("source", ["policyuncertainty", "gpr"])
def test_the_servers_time_of_publication_dates_new_days(publishers, run, days_ago, source):
    build = small.tpu if source == "policyuncertainty" else small.gpr
    publishers.answers[FILE_OF[source]] = build(DAYS[:-10])
    run(source)
    days_ago(5)
    published_at = datetime.now(UTC) - timedelta(days=2)
    headers = {"Last-Modified": format_datetime(published_at, usegmt=True)}
    publishers.answers[FILE_OF[source]] = Answer(build(), headers=headers)
    outcome, rows = run(source)
    assert outcome.n_new == 10
    series_id = load_series(source).index[0]
    for day in DAYS[-10:]:
        ((available_on, _, _),) = of_day(rows, series_id, day)
        assert available_on == max(due(source, day), trade_date(published_at))


# ---------------------------------------------------------------- World Bank


def test_prices_are_found_by_name_whatever_their_place_capitals_and_asterisks():
    order = ("Rapeseed  oil **", "SOYBEAN OIL", "Palm oil *")
    _, moved, _ = worldbank.parse_workbook(small.workbook(names=order), OILS)
    _, plain, _ = worldbank.parse_workbook(small.workbook(), OILS)
    pd.testing.assert_frame_equal(moved, plain)
    assert plain["Palm oil"].tolist() == [small.oil_price("Palm oil", month) for month in MONTHS]


def test_a_price_without_a_value_is_left_out(publishers, run):
    cells = {("Palm oil", MONTHS[-1]): "…", ("Palm oil", MONTHS[-2]): None, ("Palm oil", MONTHS[-3]): ".."}
    publishers.answers[WORKBOOK] = small.workbook(cells=cells)
    outcome, rows = run("worldbank")
    assert outcome.state == "landed"
    assert list(newest(rows, "WB_PALM_OIL"))[-1] == f"{MONTHS[-4]:%Y-%m-%d}"
    assert list(newest(rows, "WB_SOYBEAN_OIL"))[-1] == f"{MONTHS[-1]:%Y-%m-%d}"


@pytest.mark.parametrize(("age", "state"), [(45, "landed"), (46, "failed")])
def test_a_workbook_that_was_updated_long_ago_is_refused_with_its_date(publishers, run, age, state):
    updated = datetime.now(UTC).date() - timedelta(days=age)
    publishers.answers[WORKBOOK] = small.workbook(f"Updated on {updated:%B %d, %Y}")
    outcome, _ = run("worldbank")
    assert outcome.state == state
    if state == "failed":
        assert f"was updated on {updated}, 46 days ago: the page links to an old copy" in outcome.reason


def test_the_newest_of_several_linked_workbooks_is_read(publishers, run):
    old = "thedocs.worldbank.org/en/doc/99-0050012025/related/CMO-Historical-Data-Monthly.xlsx"
    publishers.answers[PAGE] = small.page(f"/{old.split('/', 1)[1]}", f"https://{WORKBOOK}?x=1", f"https://{WORKBOOK}")
    publishers.answers[old] = small.workbook("Updated on December 02, 2025", months=MONTHS[:-11])
    outcome, rows = run("worldbank")
    assert outcome.state == "landed"
    assert list(newest(rows, "WB_PALM_OIL"))[-1] == f"{MONTHS[-1]:%Y-%m-%d}"
    assert publishers.paths() == [PAGE, old, WORKBOOK]


def test_a_link_to_a_workbook_that_is_gone_leaves_the_other(publishers, run):
    publishers.answers[PAGE] = small.page("/en/doc/old/related/CMO-Historical-Data-Monthly.xlsx", f"https://{WORKBOOK}")
    assert run("worldbank")[0].state == "landed"
    publishers.answers[PAGE] = small.page("/en/doc/old/related/CMO-Historical-Data-Monthly.xlsx")
    outcome, _ = run("worldbank")
    assert outcome.state == "failed"
    assert "answered 404" in outcome.reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (small.workbook(unit="($/kg)"), r"has Palm oil in \$/kg instead of \$/mt"),
        (small.workbook("November 2026"), "does not say when it was updated"),
        (small.workbook("Updated on Nov 04, 2026"), "a date or price cannot be read"),
        (small.workbook(sheet="Prices"), "is no workbook with a sheet Monthly Prices"),
        (small.workbook(cells={("Palm oil", MONTHS[5]): "n.q."}), "a date or price cannot be read"),
        (small.workbook().replace(b"xl/workbook.xml", b"xl/workbook.xlm"), "is no workbook|cut or damaged"),
    ],
    ids=["unit", "no date", "other date", "sheet", "text", "no workbook"],
)
def test_a_changed_workbook_is_refused(body, words):
    with pytest.raises(SourceError, match=words):
        worldbank.parse_workbook(body, OILS)


def test_a_workbook_without_names_of_prices_is_refused():
    book = openpyxl.Workbook()
    book.active.title = "Monthly Prices"
    book.active.append(["Updated on November 04, 2026"])
    content = io.BytesIO()
    book.save(content)
    with pytest.raises(SourceError, match="no row of Monthly Prices has the names of prices"):
        worldbank.parse_workbook(content.getvalue(), OILS)


def test_months_of_another_form_are_no_values(publishers, run):
    publishers.answers[WORKBOOK] = small.workbook(label="%Y-%m")
    outcome, _ = run("worldbank")
    assert outcome.state == "failed"
    assert "the publisher sent no values" in outcome.reason


def test_a_page_without_the_link_is_refused(publishers, run):
    publishers.answers[PAGE] = small.page(
        "https://thedocs.worldbank.org/en/doc/1/related/CMO-Historical-Data-Annual.xlsx"
    )
    outcome, _ = run("worldbank")
    assert outcome.state == "failed"
    assert "commodity-markets has no link to CMO-Historical-Data-Monthly.xlsx" in outcome.reason


def test_a_price_that_is_missing_leaves_the_others_landed(publishers, run):
    publishers.answers[WORKBOOK] = small.workbook(names=("Palm oil", "Soybean oil"))
    outcome, rows = run("worldbank")
    assert outcome.state == "partial"
    assert "WB_RAPESEED_OIL: CMO-Historical-Data-Monthly.xlsx has no column Rapeseed oil" in outcome.reason
    assert rows["series_id"].nunique() == 2


@pytest.mark.parametrize("pulled_days_ago", [20, 1])
def test_the_day_of_the_update_dates_a_new_month_and_an_upload_that_came_later_its_capture(
    publishers, run, days_ago, pulled_days_ago
):
    """UPDATED is three days ago: a pull of yesterday that lacked the month shows that it was not public before today."""
    publishers.answers[WORKBOOK] = small.workbook(months=MONTHS[:-1])
    run("worldbank")
    days_ago(pulled_days_ago)
    publishers.answers[WORKBOOK] = small.workbook()
    outcome, rows = run("worldbank")
    assert outcome.n_new == 3
    public = UPDATED + timedelta(days=1) if pulled_days_ago == 20 else trade_date(datetime.now(UTC))
    for series_id in load_series("worldbank").index:
        ((available_on, _, _),) = of_day(rows, series_id, MONTHS[-1])
        assert available_on == max(due("worldbank", MONTHS[-1]), public)


@pytest.mark.parametrize(
    ("text", "is_new"),
    [
        ("Soybean oil, from January 2025, US Gulf; January 2021-December 2024, Dutch", False),
        ("Soybean oil, from May 2026, Argentina; January 2025-April 2026, US Gulf", True),
        ("Soybean oil, Argentina, replacement series beginning May 2026", True),
        ("Soybeans, from May 2026, Brazil", False),
        ("Soybean oil, crude", False),
    ],
)
def test_a_definition_that_the_seed_does_not_know_is_said(publishers, run, text, is_new):
    publishers.answers[WORKBOOK] = small.workbook(described=(text,))
    outcome, _ = run("worldbank")
    assert outcome.state == "landed"
    said = "WB_SOYBEAN_OIL has measured another price since 2026-05, says the workbook: add that to seeds/series_breaks.csv"
    assert (said in outcome.reason) == is_new


def test_a_month_is_public_on_the_fifth_business_day_at_the_earliest():
    """Days on which workbooks say that they were updated are never later than the rule."""
    months = pd.Series(pd.date_range("2000-01-01", "2040-12-01", freq="MS"))
    rule = load_series("worldbank").iloc[0]
    public = available_by_rule(months, rule)
    first = months + pd.DateOffset(months=1)
    fifth = np.busday_offset(first.to_numpy().astype("datetime64[D]"), 4, roll="forward")  # without holidays
    assert (public.to_numpy().astype("datetime64[D]") >= fifth).all()
    assert ((public - first).dt.days <= 12).all()
    stated = [
        "2014-01-06",
        "2022-11-02",
        "2025-11-04",
        "2026-01-06",
        "2026-02-03",
        "2026-05-04",
        "2026-09-02",
        "2026-10-02",
    ]
    for day in pd.to_datetime(stated):
        assert due("worldbank", day.replace(day=1) - pd.DateOffset(months=1)) >= day.date()


# ---------------------------------------------------------------- trade policy uncertainty


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (small.tpu(header=("day", "month", "year", "daily_policy_index")), "lacks daily_tpu_index"),
        (small.tpu(header=("date", "month", "year", "daily_tpu_index")), "lacks day"),
        ("day;month;year;daily_tpu_index\n1;1;2024;5\n", "lacks year, month, day, daily_tpu_index"),
        ("day,month,year,daily_tpu_index\n1,1,2024,5\n2,1", "is cut"),
        ("day,month,year,daily_tpu_index\n1,13,2024,5\n", "cannot be read"),
        ("day,month,year,daily_tpu_index\n1,1,2024,five\n", "cannot be read"),
        ("day,month,year,daily_tpu_index\nSource: x,1,2024,5\n", "cannot be read"),
    ],
)
def test_a_changed_file_of_trade_policy_uncertainty_is_refused(text, words):
    with pytest.raises(SourceError, match=words):
        policyuncertainty.parse_days(text, "daily_tpu_index")


def test_a_zero_of_trade_policy_uncertainty_is_a_value_and_an_empty_cell_is_none():
    text = "\ufeffday,month,year,daily_tpu_index\r\n1,1,2024,0\r\n2,1,2024,\r\n3,1,2024,94.5\r\n".removeprefix("\ufeff")
    values = policyuncertainty.parse_days(text, "daily_tpu_index")
    assert {f"{day:%Y-%m-%d}": value for day, value in values.items()} == {"2024-01-01": 0.0, "2024-01-03": 94.5}


# ---------------------------------------------------------------- geopolitical risk


def renamed(old: str, new: str) -> list[str]:
    return [new if name == old else name for name in small.GPR_HEADER]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (small.gpr(header=renamed("DAY", "date_id")), "lacks DAY"),
        (small.gpr(header=renamed("GPRD", "GPR")), "lacks GPRD"),
        (small.gpr()[:5000], "is cut or no xls workbook"),
        (small.workbook(), "is cut or no xls workbook"),
        (b"DAY,GPRD\n20240101,5\n", "is cut or no xls workbook"),
        (small.gpr(write_day=lambda day: f"{day:%d.%m.%Y}"), "cannot be read"),
        (small.gpr(write_day=lambda day: int(f"{day:%y%m%d}")), "cannot be read"),
        (small.gpr(write_day=lambda day: (day - pd.Timestamp("1899-12-30")).days), "cannot be read"),
        (small.gpr(changed={f"{DAYS[3]:%Y-%m-%d}": "n/a"}), "cannot be read"),
    ],
    ids=["no day", "no index", "cut", "xlsx", "csv", "other date", "short year", "excel date", "text"],
)
def test_a_changed_workbook_of_geopolitical_risk_is_refused(body, words):
    with pytest.raises(SourceError, match=words):
        gpr.parse_days(body, "GPRD")


def test_a_day_of_geopolitical_risk_may_be_text_and_an_empty_cell_is_no_value():
    body = small.gpr(changed={f"{DAYS[3]:%Y-%m-%d}": ""}, write_day=lambda day: f"{day:%Y%m%d}")
    assert list(gpr.parse_days(body, "GPRD").index) == [day for day in DAYS if day != DAYS[3]]


def test_a_day_of_geopolitical_risk_is_public_after_the_next_monday():
    for day in pd.date_range("2024-05-01", periods=60):
        public, monday = due("gpr", day), day + pd.Timedelta(days=7 - day.dayofweek)
        assert public > monday.date()
        assert public <= day.date() + timedelta(days=11)


# ---------------------------------------------------------------- EPA


def test_without_a_file_epa_is_skipped_with_the_steps(run, data_dir):
    outcome, rows = run("epa")
    assert outcome.state == "skipped"
    assert outcome.reason == (
        f"no *.csv in {data_dir / 'epa'}: open {load_sources()['epa'].documentation}, choose RIN Price Data with all "
        "transfer years, press Export Table and put the file there"
    )
    assert rows.empty


def test_the_folder_may_be_another_one(run, export, data_dir, monkeypatch):
    export(small.epa())
    (data_dir / "epa").rename(data_dir / "elsewhere")
    monkeypatch.setenv("ZL_EPA_DIR", str(data_dir / "elsewhere"))
    assert run("epa")[0].state == "landed"
    monkeypatch.setenv("ZL_EPA_DIR", str(data_dir / "nowhere"))
    assert "which is no folder" in run("epa")[0].reason


def test_a_series_has_unverified_prices_of_the_current_year_only(run, export):
    export("\ufeff" + small.epa().replace("\n", "\r\n"))
    _, rows = run("epa")
    for d_code in ("D4", "D6"):
        assert newest(rows, f"EPA_RIN_{d_code}_CURR") == {
            f"{day:%Y-%m-%d}": small.rin_price(d_code, day) for day in WEEKS
        }


@pytest.mark.parametrize("age", [1, 2, 3, 8])
def test_a_table_that_was_just_refreshed_lands(run, export, age):
    last = pd.Timestamp(small.TODAY - timedelta(days=small.TODAY.weekday(), weeks=age))
    export(small.epa(pd.date_range(end=last, periods=60, freq="W-MON")))
    outcome, rows = run("epa")
    assert (outcome.state, outcome.newest_on) == ("landed", last.date())
    assert rows["available_on"].max() >= (last + pd.Timedelta(days=49)).date()


def test_a_dash_in_the_place_of_a_price_is_no_value(run, export):
    export(small.epa(changed={("D4", f"{WEEKS[3]:%Y-%m-%d}"): "-"}))
    _, rows = run("epa")
    assert set(WEEKS) - set(pd.to_datetime(list(newest(rows, "EPA_RIN_D4_CURR")))) == {WEEKS[3]}


def test_a_week_in_two_years_has_the_price_of_the_year_of_its_monday():
    assert pd.Timestamp("2019-12-30") in WEEKS
    both = [line for line in small.epa().splitlines() if line.startswith('"12/30/2019"') and "D4" in line]
    assert len(both) == 7  # three rows of 2019, four of 2020
    table = epa.parse_table("\n".join([small.EPA_HEADER, *both]).encode(), "x")
    assert table["price"].tolist() == [small.rin_price("D4", pd.Timestamp("2019-12-30"))]
    later = [line for line in both if '"2020"' in line]
    assert epa.parse_table("\n".join([small.EPA_HEADER, *later]).encode(), "x").empty


def test_files_are_joined_and_the_one_with_the_later_week_wins(run, export):
    changed = {("D4", f"{WEEKS[30]:%Y-%m-%d}"): "$1.5"}
    export(small.epa(WEEKS[25:], changed), "a.csv", hour=1)
    export(small.epa(WEEKS[:40]), "b.csv", hour=2)  # saved later, but an older table
    _, rows = run("epa")
    found = newest(rows, "EPA_RIN_D4_CURR")
    assert list(found) == [f"{day:%Y-%m-%d}" for day in WEEKS]
    assert found[f"{WEEKS[30]:%Y-%m-%d}"] == 1.5


@pytest.mark.parametrize(("hour", "value"), [(1, None), (3, 1.5)])
def test_of_tables_with_the_same_weeks_the_one_saved_later_wins(run, export, hour, value):
    week = f"{WEEKS[30]:%Y-%m-%d}"
    export(small.epa(), "b.csv", hour=2)
    export(small.epa(changed={("D4", week): "$1.5"}), "a.csv", hour=hour)
    _, rows = run("epa")
    assert newest(rows, "EPA_RIN_D4_CURR")[week] == (value or small.rin_price("D4", WEEKS[30]))


def test_a_new_week_is_available_from_the_day_on_which_its_table_was_first_read(run, export, days_ago):
    export(small.epa(WEEKS[:-4]))
    run("epa")
    days_ago(30)
    export(small.epa())
    outcome, rows = run("epa")
    assert (outcome.n_new, outcome.n_revised) == (8, 0)
    for week in WEEKS[-4:]:
        assert [(day, by) for day, _, by in of_day(rows, "EPA_RIN_D6_CURR", week)] == [
            (trade_date(datetime.now(UTC)), "capture")
        ]


def test_an_export_of_fewer_years_keeps_what_is_on_file(run, export):
    export(small.epa())
    _, before = run("epa")
    export(small.epa(WEEKS[-10:]))
    outcome, rows = run("epa")
    assert outcome.state == "unchanged"
    pd.testing.assert_frame_equal(rows, before)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            small.epa().replace("RIN Price", "Total RINs Traded", 1),
            "is not EPA's table of RIN prices: it lacks RIN Price",
        ),
        (small.epa()[:-4], "a line cannot be read: unexpected end of data"),
        (small.epa().rsplit(",", 1)[0], "is cut: a line is shorter than the header"),
        ("<!DOCTYPE html>\n<html></html>\n", "is not EPA's table"),
        ("", "is not EPA's table"),
        (small.EPA_HEADER + "\n", "is not EPA's table"),
        (small.epa(WEEKS + pd.Timedelta(days=1)), "the week of 2019-12-03 does not begin on a Monday"),
        (small.epa().replace('"12/2/2019"', '"2019-12-02"'), "a line cannot be read"),
        (small.epa(changed={("D4", "2020-06-01"): "none"}), "a line cannot be read"),
        (
            small.epa() + '"2/22/2021","2021","2021","D4","Unverified","$1.99"\n',
            "two unverified prices of D4 for the week of 2021",
        ),
        (small.epa().encode("utf-16"), "a line cannot be read"),
    ],
    ids=["volumes", "cut", "short", "page", "empty", "header only", "Tuesday", "date", "price", "twice", "utf-16"],
)
def test_a_file_that_is_not_the_table_is_named(run, export, body, words):
    export(small.epa(), "a.csv")
    export(body, "table 2.csv")
    outcome, rows = run("epa")
    assert outcome.state == "failed"
    assert "table 2.csv" in outcome.reason
    assert words in outcome.reason
    assert rows.empty


def test_an_export_without_a_fuel_is_named(run, export):
    export("\n".join(line for line in small.epa().splitlines() if '"D6"' not in line))
    outcome, rows = run("epa")
    assert outcome.state == "partial"
    assert "EPA_RIN_D6_CURR: no unverified price of D6 of the current year in 1 files" in outcome.reason
    assert set(rows["series_id"]) == {"EPA_RIN_D4_CURR"}


def test_the_tables_that_were_read_are_kept(run, export, data_dir):
    export(small.epa())
    run("epa")
    with sqlite3.connect(data_dir / "ingest/ingest.sqlite") as con:
        ((name, url, size),) = con.execute("select name, url, n_bytes from responses").fetchall()
    assert (name, size) == ("table.csv", len(small.epa()))
    assert url.startswith("file:///")


# ---------------------------------------------------------------- real samples and real days, where they are present


@pytest.fixture(scope="session")
def samples(real_landing) -> Path:
    folder = real_landing.parent / "formats"
    if not folder.is_dir():
        pytest.skip(f"no samples of wire formats: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def real_series(real_landing) -> pd.DataFrame:
    rows = pd.concat([pd.read_parquet(file) for file in real_landing.glob("series*.parquet")])
    return rows.assign(
        **{name: pd.to_datetime(rows[name]).astype("datetime64[us]") for name in ("obs_date", "available_on")}
    )


def test_the_real_workbook_of_the_world_bank_is_read(samples):
    body = (samples / "misc/worldbank_CMO_Monthly_trimmed_RESAVED.xlsx").read_bytes()
    updated_on, prices, _ = worldbank.parse_workbook(body, OILS)
    assert f"{updated_on}" == "2025-11-04"
    assert prices.loc["2025-10-01"].tolist() == pytest.approx([1045.04, 1135.81, 1275.21029654036])
    assert prices["Rapeseed oil"].isna().any()  # … in 1960
    assert prices.index.is_monotonic_increasing


def test_the_real_workbook_describes_the_changes_of_the_seed(samples):
    dump = (samples / "misc/worldbank_CMO_Monthly_CELLDUMP.txt").read_text()
    texts = [line.split("', ")[1].strip("'\" ") for line in dump.splitlines() if line.startswith("Description row")]
    found = {column: worldbank._newest_definition(column, texts) for column in ("Palm oil", "Soybean oil")}
    assert {column: f"{month:%Y-%m}" for column, month in found.items()} == {
        "Palm oil": "2025-02",
        "Soybean oil": "2025-01",
    }


def test_the_real_table_of_epa_gives_the_prices_of_the_real_landing_file(samples, real_series):
    table = epa.parse_table((samples / "epa/RIN_prices_export.csv").read_bytes(), "RIN_prices_export.csv")
    for d_code, n_weeks in (("D4", 7), ("D6", 9)):
        own = table[table["d_code"] == d_code].set_index("week")["price"]
        there = real_series[real_series["series_id"] == f"EPA_RIN_{d_code}_CURR"].set_index("obs_date")["value"]
        there = there["2017-01-01":"2017-02-28"]
        assert len(own) == len(there) == n_weeks
        pd.testing.assert_series_equal(own, there, check_names=False)


def test_the_rules_are_never_earlier_than_the_days_of_real_data(real_series):
    for source in SOURCES:
        for series_id, rule in load_series(source).iterrows():
            own = real_series[real_series["series_id"] == series_id].drop_duplicates("obs_date")
            lag = (available_by_rule(own["obs_date"], rule) - own["available_on"]).dt.days
            assert len(lag) > 100, series_id
            assert (lag >= 0).all(), series_id
            assert lag.max() <= 18, series_id

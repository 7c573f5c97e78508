"""FRED, ECB and CFTC: their formats, and what happens when a format changes. Real samples on top where they are present."""

import io
import json
import sqlite3
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_publishers as small
from conftest import PROJECT
from publishers import Answer, Publishers, ingest_one, isolate, zipped
from small_publishers import BUSINESS_DAYS, CONTRACTS, COT_API, ECB_API, GRAPH, TODAY, TUESDAYS

from zl_forecast.ingest.adapters import cftc, ecb, fred
from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError, load_series


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and no keys or folders of the user's."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def publishers():
    with Publishers(small.everything()) as publishers:
        yield publishers


@pytest.fixture
def run(data_dir):
    """Return a function that ingests one source, and returns its outcome and the landed rows."""
    return partial(ingest_one, data_dir)


def newest(rows: pd.DataFrame, series_id: str) -> dict[str, float]:
    own = rows[rows["series_id"] == series_id].sort_values(["obs_date", "available_on"])
    return {f"{day:%Y-%m-%d}": value for day, value in own.groupby("obs_date")["value"].last().items()}


# ---------------------------------------------------------------- FRED without a key


@pytest.mark.parametrize(
    "text",
    [
        "DATE,DGS10\n2024-01-01,.\n2024-01-02,3.95\n",
        "observation_date,DGS10\n2024-01-01,\n2024-01-02,3.95\n",
        "observation_date,DFF,DGS10\r\n2024-01-01,5.33,\r\n2024-01-02,5.33,3.95\r\n",
        "Observation_Date,DGS10\n2024-01-02,3.95\n2024-01-01,\n",
    ],
)
def test_both_headers_and_both_marks_of_missing_values_are_read(text):
    values = fred.parse_graph(text, "DGS10").dropna()
    assert [(f"{day:%Y-%m-%d}", value) for day, value in values.items()] == [("2024-01-02", 3.95)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("observation_date,DGS10_PCH\n2024-01-02,1.0\n", "header of fredgraph.csv is 'observation_date,DGS10_PCH'"),
        ("day,DGS10\n2024-01-02,1.0\n", "header of fredgraph.csv is 'day,DGS10'"),
        ("observation_date,DGS10\n2024-01-02,3.95\n2024-01-03,3.9", "is cut"),
        ("observation_date,DGS10\n2024-01-02,3.95\n2024-01\n", "is cut"),
        ("observation_date,DGS10\n01/02/2024,3.95\n", "cannot be read"),
        ("observation_date,DGS10\n2024-01-02,n/a\n", "cannot be read"),
    ],
)
def test_a_changed_format_of_fredgraph_is_refused(text, words):
    with pytest.raises(SourceError) as error:
        fred.parse_graph(text, "DGS10")
    assert words in str(error.value)


def test_all_series_of_fred_land_without_a_key(publishers, run):
    outcome, rows = run("fred")
    assert outcome.state == "landed"
    assert rows["series_id"].nunique() == 11
    assert newest(rows, "DGS10") == {f"{day:%Y-%m-%d}": small.value("DGS10", day) for day in BUSINESS_DAYS}
    assert (rows["available_by"] == "rule").all()
    assert (
        "NFCI, STLFSI4: without FRED_API_KEY the history is its newest estimate, which is not point in time"
        in outcome.reason
    )
    assert all("," not in query["id"] for _, query in publishers.requests)


def test_one_series_that_fred_no_longer_has_leaves_the_others_landed(publishers, run):
    whole = small.graph()
    publishers.answers[GRAPH] = lambda query: Answer("gone", 404) if query["id"] == "VIXCLS" else whole(query)
    outcome, rows = run("fred")
    assert outcome.state == "partial"
    assert "VIXCLS: fred.stlouisfed.org answered 404" in outcome.reason
    assert rows["series_id"].nunique() == 10


def test_a_later_pull_reads_an_overlap_only_and_the_whole_history_of_what_is_estimated_again(publishers, run):
    run("fred", history_from=date(2010, 1, 1))
    publishers.requests.clear()
    run("fred", history_from=date(2010, 1, 1))
    since = {query["id"]: query["cosd"] for _, query in publishers.requests}
    assert since["DGS10"] == f"{BUSINESS_DAYS[-1] - pd.Timedelta(days=90):%Y-%m-%d}"
    assert since["NFCI"] == "2010-01-01"


def test_values_that_fred_has_averaged_to_months_are_refused(publishers, run):
    def monthly(query):
        months = pd.date_range("2020-01-01", periods=40, freq="MS")
        return f"DATE,{query['id']}\n" + "".join(f"{month:%Y-%m-%d},4.5\n" for month in months)

    publishers.answers[GRAPH] = monthly
    outcome, rows = run("fred")
    assert outcome.state == "failed"
    assert rows.empty
    assert "DFF, DFEDTARU, 6 more: its observations are 31 days apart, but the series is daily" in outcome.reason


# ---------------------------------------------------------------- FRED with a key

LAST = "9999-12-31"


@pytest.fixture
def keyed(publishers, monkeypatch):
    """Return a function that lets the API answer with these vintages, and all other series with one of each."""
    monkeypatch.setenv("FRED_API_KEY", "abcdef0123456789abcdef0123456789")

    def answer(**own):
        codes = pd.read_csv(PROJECT / "seeds/source_series.csv").query("source == 'fred'")["series_id"]
        plain = [("2024-05-07", "2024-05-08", LAST, "1.0")]
        publishers.answers |= small.vintages({code: own.get(code, plain) for code in codes})

    return answer


NFCI = [
    ("2024-05-03", "2024-05-08", "2024-05-14", "-0.50"),
    ("2024-05-03", "2024-05-15", LAST, "-0.48"),
    ("2024-05-10", "2024-05-15", LAST, "-0.45"),
]


def landed(rows, series_id):
    own = rows[rows["series_id"] == series_id]
    return [(f"{r.obs_date:%m-%d}", f"{r.available_on:%m-%d}", r.value, r.available_by) for r in own.itertuples()]


def test_vintages_of_fred_are_available_from_their_release(keyed, run):
    keyed(NFCI=NFCI)
    outcome, rows = run("fred")
    assert outcome.state == "landed"
    assert landed(rows, "NFCI") == [
        ("05-03", "05-08", -0.50, "publisher"),
        ("05-03", "05-15", -0.48, "publisher"),
        ("05-10", "05-15", -0.45, "publisher"),
    ]
    assert "point in time" not in outcome.reason


def test_a_vintage_date_before_the_rule_is_not_believed(keyed, run):
    # FRED may load a value after the cut-off of the day that it records
    keyed(T10YIE=[("2024-05-06", "2024-05-07", LAST, "2.3"), ("2024-05-08", "2024-05-08", LAST, "2.4")])
    _, rows = run("fred")
    assert landed(rows, "T10YIE")[-1] == ("05-08", "05-09", 2.4, "publisher")


def test_what_is_older_than_the_archive_is_dated_by_the_rule_unless_it_was_estimated_later(keyed, run):
    keyed(
        DGS10=[("2001-05-07", "2005-01-03", LAST, "5.2"), ("2005-01-03", "2005-01-04", LAST, "4.2")],
        STLFSI4=[("2021-05-07", "2022-11-10", LAST, "0.1"), ("2022-11-04", "2022-11-10", LAST, "0.2")],
    )
    _, rows = run("fred")
    assert landed(rows, "DGS10") == [("05-07", "05-08", 5.2, "rule"), ("01-03", "01-04", 4.2, "publisher")]
    assert landed(rows, "STLFSI4") == [("05-07", "11-10", 0.1, "publisher"), ("11-04", "11-10", 0.2, "publisher")]


def test_more_than_2000_vintages_are_read_in_windows_whose_edges_leave_no_trace(keyed, publishers, run):
    days = pd.bdate_range("2008-01-02", periods=4500)
    daily = [(f"{day:%Y-%m-%d}", f"{after:%Y-%m-%d}", LAST, "1.5") for day, after in zip(days, days[1:], strict=False)]
    keyed(DFF=daily)
    _, rows = run("fred")
    windows = [
        query for path, query in publishers.requests if path.endswith("observations") and query["series_id"] == "DFF"
    ]
    assert len(windows) == 3
    assert all(query["realtime_end"] >= query["realtime_start"] for query in windows)
    own = rows[rows["series_id"] == "DFF"]
    assert len(own) == len(daily)
    assert not own["obs_date"].duplicated().any()
    lag = (pd.to_datetime(own["available_on"]) - pd.to_datetime(own["obs_date"])).dt.days
    assert lag.max() <= 4


def test_vintages_of_the_whole_history_are_read_in_smaller_windows(keyed, publishers, run):
    fridays = pd.date_range("2020-01-03", periods=150, freq="W-FRI")
    weeks = [(day, day + pd.Timedelta(days=5)) for day in fridays]
    rows = [
        (f"{day:%Y-%m-%d}", f"{start:%Y-%m-%d}", f"{start + pd.Timedelta(days=6):%Y-%m-%d}", f"{number / 1000:.3f}")
        for day, released in weeks
        for number, (_, start) in enumerate(weeks)
        if start >= released
    ]
    keyed(NFCI=rows)
    _, found = run("fred")
    own = found[found["series_id"] == "NFCI"]
    assert len(own) == len(rows)
    released = [f"{start:%Y-%m-%d}" for _, start in weeks]
    first = own.groupby("obs_date")["available_on"].min()
    assert all(f"{day:%Y-%m-%d}" >= start for day, start in zip(first, released, strict=True))
    windows = [
        query for path, query in publishers.requests if path.endswith("observations") and query["series_id"] == "NFCI"
    ]
    assert len(windows) == 2


def test_long_answers_are_read_page_by_page(keyed, publishers, run, monkeypatch):
    monkeypatch.setattr(fred, "PAGE_ROWS", 2)
    keyed(NFCI=NFCI)
    _, rows = run("fred")
    assert len(landed(rows, "NFCI")) == 3
    pages = [query["offset"] for path, query in publishers.requests if query.get("series_id") == "NFCI"]
    assert pages == ["0", "0", "2"]


def test_a_page_that_is_missing_is_refused(keyed, publishers, run):
    keyed()
    publishers.answers[f"{small.FRED_API}/observations"] = json.dumps({"count": 9, "observations": []})
    outcome, _ = run("fred")
    assert outcome.state == "failed"
    assert "the API sent 0 of 9 observations" in outcome.reason


def test_the_same_page_again_is_refused(keyed, publishers, run):
    keyed()
    page = {
        "count": 2,
        "offset": 0,
        "observations": [{"realtime_start": "2024-05-08", "date": "2024-05-07", "value": "1"}],
    }
    publishers.answers[f"{small.FRED_API}/observations"] = json.dumps(page)  # whatever offset is asked for
    outcome, _ = run("fred")
    assert outcome.state == "failed"
    assert "the API sent another page than the one asked for" in outcome.reason
    publishers.answers[COT_API] = json.dumps(small.cot_rows())
    outcome, _ = run("cftc", history_from=small.FIRST)
    assert (
        "the yearly files were read, since the interface failed (the interface sent the same page twice)"
        in outcome.reason
    )


def test_a_later_pull_of_vintages_adds_what_is_new_and_the_same_adds_nothing(keyed, publishers, run, data_dir):
    keyed(NFCI=NFCI)
    run("fred")
    before = (data_dir / "landing/series_fred.parquet").stat().st_mtime_ns
    outcome, _ = run("fred")
    assert outcome.state == "unchanged"
    assert (data_dir / "landing/series_fred.parquet").stat().st_mtime_ns == before
    revised = [
        *NFCI[:2],
        ("2024-05-10", "2024-05-15", "2024-05-21", "-0.45"),
        ("2024-05-10", "2024-05-22", LAST, "-0.44"),
    ]
    keyed(NFCI=[*revised, ("2024-05-17", "2024-05-22", LAST, "-0.40")])
    outcome, rows = run("fred")
    assert (outcome.n_new, outcome.n_revised) == (1, 1)
    assert landed(rows, "NFCI")[2:] == [
        ("05-10", "05-15", -0.45, "publisher"),
        ("05-10", "05-22", -0.44, "publisher"),
        ("05-17", "05-22", -0.40, "publisher"),
    ]


def test_a_key_that_is_set_later_replaces_estimated_days_by_the_publishers(publishers, run, monkeypatch):
    run("fred")
    monkeypatch.setenv("FRED_API_KEY", "abcdef0123456789abcdef0123456789")
    rows = {
        code: [
            (f"{day:%Y-%m-%d}", f"{day + pd.Timedelta(days=9):%Y-%m-%d}", LAST, str(small.value(code, day)))
            for day in days
        ]
        for code, days in {
            code: small.DAYS.get(code, BUSINESS_DAYS)
            for code in pd.read_csv(PROJECT / "seeds/source_series.csv").query("source == 'fred'")["series_id"]
        }.items()
    }
    publishers.answers |= small.vintages(rows)
    outcome, rows = run("fred")
    assert outcome.state == "landed"
    own = rows[rows["series_id"] == "NFCI"]
    assert (own["available_by"] == "publisher").all()
    assert len(own) == len(small.FRIDAYS)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (400, "Bad Request.  The value for variable api_key is not registered."),
        (404, "Not Found.  The data for this series is not available via the API"),
    ],
)
def test_an_error_of_the_api_is_reported_in_its_own_words(keyed, publishers, run, status, text):
    keyed()
    body = json.dumps({"error_code": status, "error_message": text})
    publishers.answers[f"{small.FRED_API}/vintagedates"] = Answer(body, status)
    outcome, _ = run("fred")
    assert outcome.state == "failed"
    assert text.rstrip(".") in outcome.reason


# ---------------------------------------------------------------- ECB


def test_all_rates_of_the_ecb_land_from_one_request(publishers, run):
    outcome, rows = run("ecb")
    assert outcome.state == "landed"
    assert newest(rows, "ECB_EURBRL") == {f"{day:%Y-%m-%d}": small.value("BRL", day) for day in BUSINESS_DAYS}
    assert (rows["available_on"] == rows["obs_date"]).mean() > 0.9  # but for holidays, on which the ECB has no rates
    assert publishers.paths() == [ECB_API]


@pytest.mark.parametrize("failure", [Answer("gone", 404), Answer("", 404), "<html>moved</html>", "KEY,DAY\nx,y\n"])
def test_the_file_of_the_whole_history_is_read_if_the_data_api_fails(publishers, run, failure):
    _, by_api = run("ecb")
    publishers.answers[ECB_API] = failure
    outcome, rows = run("ecb")
    assert outcome.state == "unchanged"
    assert "the whole history was read, since the data API failed" in outcome.reason
    pd.testing.assert_frame_equal(rows, by_api)


def test_both_formats_of_the_ecb_are_the_same_rates():
    api = ecb.parse_api(small.ecb_api({"startPeriod": "2000-01-01"}))
    history = ecb.parse_history(small.ecb_history())
    pd.testing.assert_frame_equal(history[list(api.columns)], api, check_freq=False)
    assert "RUB" not in history  # N/A on all days


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("CURRENCY,TIME_PERIOD\nUSD,2026-09-03\n", "header lacks OBS_VALUE"),
        ("CURRENCY,TIME_PERIOD,OBS_VALUE\nUSD,2026-09-03,1.16", "is cut"),
        ("CURRENCY,TIME_PERIOD,OBS_VALUE\nUSD,2026-09-03\n", "is cut"),
        ("CURRENCY,TIME_PERIOD,OBS_VALUE\nUSD,2026-W36,1.16\n", "cannot be read"),
        ("CURRENCY,TIME_PERIOD,OBS_VALUE\nUSD,2026-09-03,1.16\nUSD,2026-09-03,1.17\n", "cannot be read"),
        ("CURRENCY,TIME_PERIOD,OBS_VALUE\nUSD,2026-09-03,0\n", "not positive"),
    ],
)
def test_a_changed_format_of_the_data_api_is_refused(text, words):
    with pytest.raises(SourceError, match=words):
        ecb.parse_api(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Datum,USD,\n2026-04-13,1.1,\n", "has no table that begins with Date"),
        ("Date,USD,BRL,\n2026-04-13,1.1684\n", "is cut"),
    ],
)
def test_a_changed_format_of_the_history_is_refused(text, words):
    with pytest.raises(SourceError, match=words):
        ecb.parse_history(zipped("eurofxref-hist.csv", text))


def test_a_currency_that_has_ended_leaves_the_others_landed(publishers, run):
    def without_brl(query):
        return "".join(line for line in small.ecb_api(query).splitlines(keepends=True) if ".BRL." not in line)

    publishers.answers[ECB_API] = without_brl
    outcome, rows = run("ecb")
    assert outcome.state == "partial"
    assert "the ECB sent no rate of BRL" in outcome.reason
    assert rows["series_id"].nunique() == 6


# ---------------------------------------------------------------- CFTC


def expected(measure, code):
    reports = {f"{day:%Y-%m-%d}": small.positions(code, day) for day in TUESDAYS}
    return {day: measure(report) for day, report in reports.items()}


def test_positions_of_all_markets_land_from_the_interface(publishers, run):
    outcome, rows = run("cftc")
    assert outcome.state == "landed"
    for code in CONTRACTS:
        net = newest(rows, f"COT_LEG_FUT_{code}_NONCOMM_NET")
        assert net == expected(lambda report: report["long"] - report["short"], code)
        assert newest(rows, f"COT_LEG_FUT_{code}_OI") == expected(lambda report: report["all"], code)
    assert set(publishers.paths()) == {COT_API}


def test_all_pages_are_read_if_the_server_sends_fewer_rows_than_it_was_asked_for(publishers, run):
    publishers.answers[COT_API] = small.cot_api(page_rows=10)
    _, rows = run("cftc")
    assert len(newest(rows, "COT_LEG_FUT_007601_OI")) == len(TUESDAYS)
    assert len(publishers.requests) == -(-len(small.cot_rows()) // 10) + 1


@pytest.mark.parametrize("failure", [Answer("no", 403), "<html>moved</html>", "[]", '[{"a": "1"}]', '{"error": true}'])
def test_the_yearly_files_are_read_if_the_interface_fails(publishers, run, failure):
    _, by_interface = run("cftc")
    publishers.answers[COT_API] = failure
    outcome, rows = run("cftc")
    assert outcome.state == "unchanged"
    assert "the yearly files were read, since the interface failed" in outcome.reason
    pd.testing.assert_frame_equal(rows, by_interface)


@pytest.mark.parametrize("missing", [Answer("not found", 404), "<!DOCTYPE html><html>landing page</html>", b"PK cut"])
def test_the_current_week_is_read_if_the_file_of_the_new_year_is_missing(publishers, run, missing):
    publishers.answers[COT_API] = Answer("no", 403)
    publishers.answers[small.cot_year(TODAY.year)] = missing
    outcome, rows = run("cftc", history_from=small.FIRST)
    assert outcome.state == "landed"
    assert "the file of the new year is often missing" in outcome.reason
    held = newest(rows, "COT_LEG_FUT_007601_OI")
    assert list(held)[-1] == f"{TUESDAYS[-1]:%Y-%m-%d}"


def test_the_yearly_files_are_enough_if_the_file_of_the_current_week_is_missing(publishers, run):
    publishers.answers[COT_API] = Answer("no", 403)
    publishers.answers[small.COT_WEEK] = "<html>moved</html>"
    outcome, rows = run("cftc", history_from=small.FIRST)
    assert outcome.state == "landed"
    assert "the file of the current week was not read (deafut.txt: www.cftc.gov sent a web page" in outcome.reason
    assert len(newest(rows, "COT_LEG_FUT_007601_OI")) == len(TUESDAYS)
    publishers.answers[small.cot_year(TODAY.year)] = Answer("not found", 404)
    assert run("cftc", history_from=small.FIRST)[0].state == "failed"


def test_a_page_instead_of_a_yearly_file_of_the_past_fails(publishers, run):
    publishers.answers[COT_API] = Answer("no", 403)
    publishers.answers[small.cot_year(TODAY.year - 1)] = "<!DOCTYPE html><html>landing page</html>"
    outcome, rows = run("cftc", history_from=date(TODAY.year - 1, 6, 1))
    assert outcome.state == "failed"
    assert f"deacot{TODAY.year - 1}.zip: www.cftc.gov sent a web page instead of ZIP data" in outcome.reason
    assert rows.empty


def test_both_formats_of_the_cftc_are_the_same_reports():
    by_interface = cftc.parse_interface(small.cot_rows())
    by_file = cftc.parse_year(zipped("annual.txt", small.cot_text(TUESDAYS)), list(CONTRACTS), "deacot.zip")
    order = ["day", "code"]
    pd.testing.assert_frame_equal(
        by_file.sort_values(order, ignore_index=True)[by_interface.columns],
        by_interface.sort_values(order, ignore_index=True),
    )


def test_a_changed_header_or_a_cut_line_of_a_yearly_file_is_refused():
    text = small.cot_text(TUESDAYS)
    with pytest.raises(SourceError, match=r"its header lacks Open Interest \(All\)"):
        cftc.parse_year(zipped("annual.txt", text.replace("Open Interest (All)", "OI")), list(CONTRACTS), "deacot.zip")
    with pytest.raises(SourceError, match="is cut"):
        cftc.parse_week("x,240820,2024-08-20,007601,CBT ,00,007 , 500, 1", ["007601"])
    with pytest.raises(SourceError, match="cannot be read"):
        cftc.parse_year(zipped("annual.txt", text.replace(",    80000", ",        .")), list(CONTRACTS), "x")


def test_columns_that_have_moved_are_noticed_by_a_sum():
    moved = small.cot_text(TUESDAYS[-1:], header="").replace(",00 ,007 ,", ",00 ,007 ,        7,")
    with pytest.raises(SourceError, match="3 reports whose long positions do not sum to open interest"):
        cftc.parse_week(moved, list(CONTRACTS))


def test_a_combined_report_is_refused():
    rows = [row | {"futonly_or_combined": "Combined"} for row in small.cot_rows()]
    with pytest.raises(SourceError, match="rows of type Combined"):
        cftc.parse_interface(rows)


def test_the_time_at_which_the_server_published_dates_a_new_report(publishers, run, data_dir):
    whole, latest = small.cot_rows(), f"{TUESDAYS[-1]:%Y-%m-%d}"
    older = [row for row in whole if row["report_date_as_yyyy_mm_dd"][:10] < latest]
    publishers.answers[COT_API] = lambda query: json.dumps(older if query["$offset"] == "0" else [])
    run("cftc")
    now = datetime.now(UTC)
    with sqlite3.connect(data_dir / "ingest/ingest.sqlite") as con:  # as if that had been four days ago
        con.execute("update pulls set pulled_at = ?", ((now - timedelta(days=4)).isoformat(),))
    published_at = now - timedelta(days=1)
    headers = {"Last-Modified": format_datetime(published_at, usegmt=True)}
    publishers.answers[COT_API] = lambda query: Answer(
        json.dumps(whole if query["$offset"] == "0" else []), 200, headers
    )
    _, rows = run("cftc")
    last = rows[rows["obs_date"] == TUESDAYS[-1].date()]
    assert len(last) == 6
    due = available_by_rule(pd.Series(TUESDAYS[-1:]), load_series("cftc").iloc[0]).iloc[0].date()
    assert set(last["available_on"]) == {max(due, trade_date(published_at))}


# ---------------------------------------------------------------- real samples, where they are present


@pytest.fixture(scope="session")
def samples(real_landing) -> Path:
    folder = real_landing.parent / "formats"
    if not folder.is_dir():
        pytest.skip(f"no samples of wire formats: {folder} does not exist")
    return folder


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("fredgraph_single_new_header_DCOILWTICO.csv", "DCOILWTICO"),
        ("fredgraph_single_new_header_STLFSI4_weekly.csv", "STLFSI4"),
        ("fredgraph_single_old_header_DCOILBRENTEU.csv", "DCOILBRENTEU"),
        ("fredgraph_multi_new_header_transformed.csv", "UNRATE"),
    ],
)
def test_real_files_of_fred_are_read(samples, file, code):
    text = (samples / "fred" / file).read_text()
    values = fred.parse_graph(text, code)
    there = pd.read_csv(io.StringIO(text), index_col=0, na_values=".")[code]
    assert len(values) > 50
    assert [f"{day:%Y-%m-%d}" for day in values.index] == list(there.index)
    np.testing.assert_array_equal(values.to_numpy(), there.to_numpy(dtype=float))


def test_real_files_of_the_ecb_are_read(samples):
    text = (samples / "ecb/eurofxref-hist_trimmed.csv").read_text()
    history, there = (
        ecb.parse_history(zipped("eurofxref-hist.csv", text)),
        pd.read_csv(io.StringIO(text), index_col="Date"),
    )
    for currency in small.CURRENCIES:
        own = history[currency].dropna()
        assert len(own) > 50
        assert {f"{day:%Y-%m-%d}": rate for day, rate in own.items()} == there[currency].dropna().to_dict()
    text = (samples / "ecb/data_api_EXR_csvdata.csv").read_text()
    assert ecb.parse_api(text)["USD"].tolist() == pd.read_csv(io.StringIO(text))["OBS_VALUE"].tolist()


def test_real_files_of_the_cftc_are_read(samples):
    text = (samples / "cftc/deacot_2025_annual_trimmed.txt").read_text("latin-1")
    reports = cftc.parse_year(zipped("annual.txt", text), list(CONTRACTS), "deacot2025.zip")
    there = pd.read_csv(io.StringIO(text), dtype={"CFTC Contract Market Code": str}).rename(columns=str.strip)
    assert len(reports) == len(there) == 15
    for own, column in (("open_interest", "Open Interest"), ("long", "Noncommercial Positions-Long")):
        assert reports[own].tolist() == there[f"{column} (All)"].tolist()
    combined = json.loads((samples / "cftc/socrata_jun7-fc8e_legacy_combined.json").read_text())
    with pytest.raises(SourceError, match="Combined"):
        cftc.parse_interface(combined)


def test_the_real_page_that_the_cftc_sends_instead_of_a_zip_file_is_refused(samples, publishers, run):
    publishers.answers[COT_API] = Answer("no", 403)
    publishers.answers[small.cot_year(TODAY.year - 1)] = (
        samples / "cftc/http200_html_instead_of_zip.html"
    ).read_bytes()
    outcome, _ = run("cftc", history_from=date(TODAY.year - 1, 6, 1))
    assert "www.cftc.gov sent a web page instead of ZIP data" in outcome.reason


def test_real_answers_of_the_api_of_fred_are_read(samples, keyed, publishers, run):
    answer = json.loads((samples / "fred/api_series_observations_DHHNGSP.json").read_text())
    keyed()
    publishers.answers[f"{small.FRED_API}/vintagedates"] = (
        samples / "fred/alfred_api_vintagedates_RECONSTRUCTED.json"
    ).read_text()
    publishers.answers[f"{small.FRED_API}/observations"] = json.dumps(answer)
    outcome, rows = run("fred")
    assert outcome.state in ("landed", "partial")
    there = [
        (row["date"], row["realtime_start"], float(row["value"]))
        for row in answer["observations"]
        if row["value"] != "."
    ]
    assert len(there) == 7  # one of the eight has no value
    own = rows[rows["series_id"] == "VIXCLS"]
    assert [(f"{row.obs_date}", f"{row.available_on}", row.value) for row in own.itertuples()] == there

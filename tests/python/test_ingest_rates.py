"""Cboe, New York Fed and EIA: formats, publication rules, and the fallback for a series of two sources."""

import io
import json
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_publishers as small
import small_rates as rates
from publishers import Answer, Publishers, isolate
from small_publishers import BUSINESS_DAYS, GRAPH, TODAY
from test_ingest import KEY, run, start

from zl_forecast.ingest.adapters import cboe, eia, nyfed
from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError, load_delays, load_series, load_sources
from zl_forecast.landing import LandingFolder, read_table

SOYBEAN_OIL = "M_EPOOBDSO_YIFBP_NUS_MMLB"
EFFR = f"{rates.NYFED}/unsecured/effr/search.json"
WTI_API = f"{rates.EIA_API}/{rates.ROUTES['RWTC']}/data/"


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and no keys or folders of the user's."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def publishers():
    with Publishers(small.everything()) as publishers:
        yield publishers


@pytest.fixture
def landed(data_dir):
    """Return a function that reads the landed rows of one series of a source."""

    def landed(source: str, series_id: str) -> pd.DataFrame:
        file = data_dir / "landing" / f"series_{source}.parquet"
        if not file.exists():
            return pd.DataFrame()
        rows = pd.read_parquet(file).sort_values(["obs_date", "available_on"], ignore_index=True)
        return rows[rows["series_id"] == series_id].reset_index(drop=True)

    return landed


def values(rows: pd.DataFrame) -> dict[str, float]:
    return {f"{day}": value for day, value in rows.groupby("obs_date")["value"].last().items()}


def by_rule(source: str, series_id: str, *days: str) -> list[str]:
    rule = load_series(source).loc[series_id]
    return (
        available_by_rule(pd.Series(pd.to_datetime(list(days))), rule, load_delays(source))
        .dt.strftime("%Y-%m-%d")
        .tolist()
    )


def as_if_pulled(data_dir: Path, days_ago: int) -> datetime:
    """Date the pulls on record some days back."""
    instant = datetime.now(UTC) - timedelta(days=days_ago)
    with sqlite3.connect(data_dir / "ingest/ingest.sqlite") as con:
        con.execute("update pulls set pulled_at = ?", (instant.isoformat(),))
    return instant


# ---------------------------------------------------------------- publication rules


def test_rates_of_a_day_are_public_on_the_next_business_day():
    # 2021-11-11 was a federal holiday
    assert by_rule("nyfed", "EFFR", "2021-11-10", "2021-11-12") == ["2021-11-12", "2021-11-15"]
    assert by_rule("nyfed", "SOFR", "2024-07-03") == by_rule("cboe", "VIXCLS", "2024-07-03") == ["2024-07-05"]


SCHEDULE = {  # EIA's own holiday schedules of 2016 to 2018 and 2024 to 2026: week that ends on, released on
    "2016-01-15": "2016-01-21",
    "2016-05-27": "2016-06-02",
    "2016-07-01": "2016-07-07",
    "2016-10-07": "2016-10-13",
    "2016-12-23": "2016-12-29",
    "2016-12-30": "2017-01-05",
    "2017-06-30": "2017-07-06",  # Independence Day was a Tuesday
    "2017-12-22": "2017-12-28",
    "2017-12-29": "2018-01-04",
    "2024-12-20": "2024-12-27",  # Christmas was a Wednesday
    "2025-01-17": "2025-01-23",
    "2025-05-23": "2025-05-29",
    "2025-11-07": "2025-11-13",  # Veterans Day was a Tuesday
    "2026-01-16": "2026-01-22",
    "2026-11-06": "2026-11-12",  # Veterans Day was a Wednesday
}


def test_weekly_stocks_are_public_on_wednesday_and_later_in_weeks_with_a_holiday():
    assert by_rule("eia", "EIA_WCESTUS1", "2024-10-04", "2025-07-04") == ["2024-10-09", "2025-07-09"]
    assert by_rule("eia", "EIA_WDISTUS1", *SCHEDULE) == list(SCHEDULE.values())
    # Thursday in truth, one day after New Year: never before the release
    assert by_rule("eia", "EIA_WDISTUS1", "2024-12-27") == ["2025-01-03"]


def test_spot_prices_up_to_monday_are_public_on_wednesday():
    # the workbook of Brent that was released on 2023-09-20 ends on 2023-09-18
    days = [f"2023-09-{day}" for day in (13, 14, 15, 18, 19, 20)]
    assert by_rule("eia", "EIA_RBRTE", *days) == ["2023-09-20"] * 4 + ["2023-09-27"] * 2
    assert by_rule("eia", "EIA_RWTC", "2024-05-24") == ["2024-05-30"]  # the Monday was a holiday


@pytest.mark.parametrize(
    ("month", "released"),
    [
        ("2021-03-01", "2021-05-28"),
        ("2021-06-01", "2021-08-31"),
        ("2022-02-01", "2022-04-29"),
        ("2022-09-01", "2022-11-30"),
        ("2023-08-01", "2023-10-31"),
        ("2024-02-01", "2024-04-30"),
    ],
)
def test_soybean_oil_for_biofuel_is_public_some_days_after_its_release(month, released):
    (available,) = by_rule("eia", "EIA_SBO_BIOFUEL", month)
    assert 0 < (date.fromisoformat(available) - date.fromisoformat(released)).days <= 11


def test_known_delays_of_eia_are_later_than_the_rule():
    delays = load_delays("eia")
    days = pd.Series(pd.to_datetime(sorted(delays)))
    assert len(delays) == 40
    for series_id in ("EIA_RWTC", "EIA_WCESTUS1"):
        rule = load_series("eia").loc[series_id]
        own = days[days.dt.dayofweek == 4] if series_id == "EIA_WCESTUS1" else days
        assert (available_by_rule(own, rule, delays) > available_by_rule(own, rule)).all()
    assert by_rule("eia", "EIA_WCESTUS1", "2022-06-17", "2022-06-10") == ["2022-07-07", "2022-06-15"]


@pytest.mark.parametrize(
    ("source", "series_id", "there", "equal", "later", "earlier"),
    [  # the real data have the VIX at its own close, ignore holidays, and have all prices of EIA after seven days
        ("cboe", "VIXCLS", "VIXCLS", 0, 3273, 0),
        ("nyfed", "EFFR", "EFFR", 3137, 131, 0),
        ("nyfed", "SOFR", "SOFR", 898, 39, 0),
        ("eia", "EIA_RWTC", "DCOILWTICO", 669, 787, 1807),
        ("eia", "EIA_RBRTE", "DCOILBRENTEU", 670, 783, 1834),
        ("eia", "EIA_RNGWHHD", "DHHNGSP", 669, 788, 1827),
    ],
)
def test_the_rules_agree_with_the_dates_of_real_data(real_landing, source, series_id, there, equal, later, earlier):
    real = pd.concat([pd.read_parquet(file) for file in real_landing.glob("series*.parquet")])
    own = real[real["series_id"] == there].drop_duplicates("obs_date")
    days, known = (pd.to_datetime(own[name]).astype("datetime64[us]") for name in ("obs_date", "available_on"))
    lag = (available_by_rule(days, load_series(source).loc[series_id], load_delays(source)) - known).dt.days
    assert ((lag == 0).sum(), (lag > 0).sum(), (lag < 0).sum()) == (equal, later, earlier)


# ---------------------------------------------------------------- a series of two sources


def test_cboe_has_nothing_to_do_while_fred_supplies_the_vix(publishers, landed):
    outcomes = run("fred", "cboe")
    assert outcomes["cboe"].state == "skipped"
    assert outcomes["cboe"].reason == "other files supply its series: series_fred.parquet"
    assert rates.VIX not in publishers.paths()
    assert len(landed("fred", "VIXCLS")) == len(BUSINESS_DAYS)


def test_cboe_supplies_the_vix_in_the_same_run_if_fred_has_never_sent_it(publishers, data_dir, landed):
    publishers.answers[GRAPH] = Answer("down", 503)
    outcomes = run("fred", "cboe")
    assert (outcomes["fred"].state, outcomes["cboe"].state) == ("failed", "landed")
    by_cboe = landed("cboe", "VIXCLS")
    assert values(by_cboe) == {f"{day:%Y-%m-%d}": small.value("VIXCLS", day) for day in BUSINESS_DAYS}
    publishers.answers[GRAPH] = small.graph()
    outcomes = run("fred", "cboe")
    assert (outcomes["fred"].state, outcomes["cboe"].state) == ("landed", "skipped")
    pd.testing.assert_frame_equal(landed("fred", "VIXCLS"), by_cboe)
    assert not (data_dir / "landing/series_cboe.parquet").exists()


def test_cboe_takes_the_rows_of_an_outdated_vix_over_and_gives_them_back(publishers, data_dir, landed):
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-40].date())
    run("fred")
    before = landed("fred", "VIXCLS")
    as_if_pulled(data_dir, 50)
    assert run("cboe")["cboe"].state == "landed"
    assert landed("fred", "VIXCLS").empty
    assert len(landed("fred", "DGS10")) == len(before)
    taken_over = landed("cboe", "VIXCLS")
    pd.testing.assert_frame_equal(taken_over[: len(before)], before)
    added = taken_over[len(before) :]
    assert values(added) == {f"{day:%Y-%m-%d}": small.value("VIXCLS", day) for day in BUSINESS_DAYS[-39:]}
    assert set(added["available_by"]) == {"capture"}  # not on file before, so no earlier forecast had them
    assert (added["available_on"] >= trade_date(datetime.now(UTC) - timedelta(minutes=5))).all()
    read_table("series", LandingFolder(data_dir / "landing", "market"))  # raises if two files contradict each other

    publishers.answers[GRAPH] = small.graph()
    assert run("fred")["fred"].state == "landed"
    pd.testing.assert_frame_equal(landed("fred", "VIXCLS"), taken_over)
    assert not (data_dir / "landing/series_cboe.parquet").exists()
    assert run("cboe")["cboe"].state == "skipped"


def test_cboe_keeps_the_vix_while_fred_sends_only_its_other_series(publishers, data_dir, landed):
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-40].date())
    run("fred", "cboe")
    before = landed("cboe", "VIXCLS")
    whole = small.graph()
    publishers.answers[GRAPH] = lambda query: Answer("gone", 404) if query["id"] == "VIXCLS" else whole(query)
    assert run("fred")["fred"].state == "partial"
    assert landed("fred", "VIXCLS").empty
    pd.testing.assert_frame_equal(landed("cboe", "VIXCLS"), before)
    assert run("cboe")["cboe"].state == "unchanged"


def test_a_vix_that_differs_from_the_one_on_file_is_refused_by_the_other_source(publishers, data_dir, landed):
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-40].date())
    run("fred")
    before = landed("fred", "VIXCLS")
    publishers.answers[rates.VIX] = rates.vix(changed={f"{day:%Y-%m-%d}": 15.0 for day in BUSINESS_DAYS[:-40]})
    outcome = run("cboe")["cboe"]
    assert outcome.state == "failed"
    assert "of a series that is rarely revised" in outcome.reason
    pd.testing.assert_frame_equal(landed("fred", "VIXCLS"), before)


def test_a_vix_that_is_loaded_again_leaves_the_rows_of_the_other_source(publishers, landed):
    publishers.answers[GRAPH] = small.graph(last=BUSINESS_DAYS[-40].date())
    run("fred")
    publishers.answers[rates.VIX] = rates.vix(changed={f"{day:%Y-%m-%d}": 15.0 for day in BUSINESS_DAYS[:-40]})
    assert run("cboe", reload=["VIXCLS"])["cboe"].state == "landed"
    own = landed("cboe", "VIXCLS")
    assert len(own) == len(BUSINESS_DAYS)
    assert (own["value"] == 15.0).sum() == len(BUSINESS_DAYS) - 40
    assert set(own["available_by"]) == {"rule"}


def test_with_the_ranks_exchanged_fred_is_the_fallback(publishers, data_dir, landed, monkeypatch):
    sources = load_sources()
    before = sources["cboe"].__dict__ | {"rank": 40}
    monkeypatch.setattr(
        "zl_forecast.ingest.run.load_sources", lambda: sources | {"cboe": type(sources["fred"])(**before)}
    )
    run("fred")
    by_fred = landed("fred", "VIXCLS")
    assert run("cboe")["cboe"].state == "landed"
    pd.testing.assert_frame_equal(landed("cboe", "VIXCLS"), by_fred)
    outcome = run("fred")["fred"]
    assert outcome.state == "unchanged"
    assert outcome.reason.startswith("series_cboe.parquet supplies VIXCLS")
    later = type("Later", (date,), {"today": classmethod(lambda cls: TODAY + timedelta(days=30))})
    monkeypatch.setattr("zl_forecast.ingest.landing_files.date", later)
    run("fred")
    pd.testing.assert_frame_equal(landed("fred", "VIXCLS"), by_fred)
    assert not (data_dir / "landing/series_cboe.parquet").exists()


def test_a_file_of_your_own_comes_first_however_old_it_is(publishers, data_dir):
    file = data_dir / "landing/series_mine.parquet"
    file.parent.mkdir(parents=True)
    own = {"series_id": "VIXCLS", "obs_date": date(2020, 5, 6), "available_on": date(2020, 5, 7), "value": 34.12}
    pd.DataFrame([own]).to_parquet(file)
    outcomes = run("fred", "cboe")
    assert "series_mine.parquet supplies VIXCLS" in outcomes["fred"].reason
    assert outcomes["cboe"].reason == "other files supply its series: series_mine.parquet"


def test_a_damaged_file_of_one_source_does_not_stop_the_first_load_of_another(publishers, data_dir):
    run("ecb")
    file = data_dir / "landing/series_ecb.parquet"
    file.write_bytes(file.read_bytes()[:200])
    assert run("nyfed")["nyfed"].state == "landed"
    assert file.stat().st_size == 200


# ---------------------------------------------------------------- what all three do with a faulty answer

PATHS = {"cboe": rates.VIX, "nyfed": EFFR, "eia": rates.WORKBOOKS["RWTC"]}
SERIES = {"cboe": "VIXCLS", "nyfed": "EFFR", "eia": "EIA_RWTC"}


@pytest.mark.parametrize("source", PATHS)
@pytest.mark.parametrize("first", [Answer("slow down", 429), Answer("error", 500)])
def test_a_request_is_repeated(publishers, landed, source, first):
    right = publishers.answers[PATHS[source]]
    calls = iter([first])
    publishers.answers[PATHS[source]] = lambda query: next(calls, None) or (right(query) if callable(right) else right)
    assert run(source)[source].state == "landed"
    assert len(landed(source, SERIES[source])) == len(BUSINESS_DAYS)


@pytest.mark.parametrize("source", PATHS)
@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("down", 503), "answered 503, after 5 attempts"),
        (Answer("gone", 404), "answered 404"),
        (Answer("", 200), "sent an empty document"),
        ("<!DOCTYPE html><html>maintenance</html>", "sent a web page instead of"),
        (Answer(b"DATE" * 100, missing_bytes=50), "after 5 attempts"),
    ],
)
def test_a_faulty_answer_fails_the_series_and_leaves_its_rows(publishers, data_dir, landed, source, answer, words):
    run(source)
    before = landed(source, SERIES[source])
    publishers.answers[PATHS[source]] = answer
    outcome = run(source)[source]
    assert outcome.state == ("failed" if source == "cboe" else "partial")
    assert words in outcome.reason
    pd.testing.assert_frame_equal(landed(source, SERIES[source]), before)


@pytest.mark.parametrize("source", PATHS)
def test_the_history_begins_on_the_day_that_is_asked_for(publishers, landed, source):
    run(source, history_from=BUSINESS_DAYS[50].date())
    assert landed(source, SERIES[source])["obs_date"].min() == BUSINESS_DAYS[50].date()


@pytest.mark.parametrize("source", PATHS)
def test_a_second_run_changes_nothing(publishers, source):
    assert run(source)[source].state == "landed"
    assert run(source)[source].state == "unchanged"


# ---------------------------------------------------------------- Cboe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("DAY,OPEN,HIGH,LOW,CLOSE\n08/25/2023,1,1,1,1\n", "header lacks DATE"),
        ("DATE,OPEN,HIGH,LOW,SETTLE\n08/25/2023,1,1,1,1\n", "header lacks CLOSE"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n08/25/2023,1,1,1,1", "is cut"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n08/25/2023,1,1\n", "is cut"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n2023-08-25,1,1,1,1\n", "cannot be read"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n25/08/2023,1,1,1,1\n", "cannot be read"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n08/25/2023,1,1,1,n/a\n", "cannot be read"),
        ("DATE,OPEN,HIGH,LOW,CLOSE\n08/25/2023,1,1,1,0\n", "not positive"),
    ],
)
def test_a_changed_format_of_cboe_is_refused(text, words):
    with pytest.raises(SourceError, match=words):
        cboe.parse_history(text)


def test_rows_of_cboe_in_any_order_and_twice_are_read_and_contradictions_refused(publishers, landed):
    header, *lines = rates.vix().splitlines(keepends=True)
    publishers.answers[rates.VIX] = "".join([header, *lines[::-1], lines[5]])
    assert run("cboe")["cboe"].n_rows == len(BUSINESS_DAYS)
    publishers.answers[rates.VIX] = "".join([header, *lines, lines[-5].replace(",1.", ",2.")])
    assert "two different values for " in run("cboe")["cboe"].reason


def test_a_file_of_cboe_with_a_header_only_is_refused(publishers):
    publishers.answers[rates.VIX] = "DATE,OPEN,HIGH,LOW,CLOSE\n"
    assert "the publisher sent no values" in run("cboe")["cboe"].reason


# ---------------------------------------------------------------- New York Fed


def test_both_rates_land_from_one_request_each(publishers, landed):
    assert run("nyfed")["nyfed"].state == "landed"
    for series_id in ("EFFR", "SOFR"):
        assert values(landed("nyfed", series_id)) == {
            f"{day:%Y-%m-%d}": small.value(series_id, day) for day in BUSINESS_DAYS
        }
    assert len(publishers.requests) == 2
    assert publishers.requests[0][1]["startDate"] == "2000-01-01"
    run("nyfed")
    assert publishers.requests[-1][1]["startDate"] == f"{BUSINESS_DAYS[-1] - pd.Timedelta(days=90):%Y-%m-%d}"


def test_of_a_day_with_a_revised_rate_only_that_one_counts():
    answer = {
        "refRates": [
            rates.nyfed_rate("2024-06-06", "SOFR", 5.35, "[r]"),
            rates.nyfed_rate("2024-06-06", "SOFR", 5.33),
            rates.nyfed_rate("2024-06-05", "SOFR", 5.31, True),
            rates.nyfed_rate("2024-06-04", "SOFR", 5.32, False),
        ]
    }
    assert nyfed.parse_rates(answer, "SOFR").tolist() == [5.35, 5.31, 5.32]


def test_a_revised_rate_is_a_new_row(publishers, landed):
    run("nyfed")
    day = f"{BUSINESS_DAYS[-2]:%Y-%m-%d}"
    whole = rates.nyfed("EFFR")

    def revised(query):
        rows = json.loads(whole(query))["refRates"]
        return json.dumps(
            {"refRates": [row | {"percentRate": 9.5} if row["effectiveDate"] == day else row for row in rows]}
        )

    publishers.answers[EFFR] = revised
    outcome = run("nyfed")["nyfed"]
    assert (outcome.state, outcome.n_new, outcome.n_revised) == ("landed", 0, 1)
    own = landed("nyfed", "EFFR").query("obs_date == @BUSINESS_DAYS[-2].date()")
    assert own["value"].tolist() == [small.value("EFFR", BUSINESS_DAYS[-2]), 9.5]
    assert own["available_by"].tolist() == ["rule", "capture"]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "has no list refRates"),
        ({"refRates": None}, "has no list refRates"),
        ({"refRates": [{"effectiveDate": "2024-06-06", "type": "EFFR"}]}, "rates lack percentRate"),
        ({"refRates": [rates.nyfed_rate("2024-06-06", "OBFR", 5.3)]}, "sent OBFR instead of EFFR"),
        ({"refRates": [rates.nyfed_rate("06/06/2024", "EFFR", 5.3)]}, "cannot be read"),
        ({"refRates": [rates.nyfed_rate("2024-06-06", "EFFR", "NA")]}, "cannot be read"),
        ({"refRates": [rates.nyfed_rate("2024-06-06", "EFFR", None)]}, "cannot be read"),
    ],
)
def test_a_changed_format_of_the_new_york_fed_is_refused(answer, words):
    with pytest.raises(SourceError, match=words):
        nyfed.parse_rates(answer, "EFFR")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "the publisher sent no values"),
        (
            [rates.nyfed_rate("2024-06-06", "EFFR", 5.3), rates.nyfed_rate("2024-06-06", "EFFR", 5.4)],
            "two different values",
        ),
    ],
)
def test_an_answer_of_the_new_york_fed_without_one_value_per_day_is_refused(publishers, rows, words):
    publishers.answers[EFFR] = json.dumps({"refRates": rows})
    outcome = run("nyfed")["nyfed"]
    assert outcome.state == "partial"
    assert words in outcome.reason


# ---------------------------------------------------------------- EIA


@pytest.fixture
def keyed(monkeypatch):
    monkeypatch.setenv("EIA_API_KEY", KEY)


def expected(code: str) -> dict[str, float]:
    return {f"{day:%Y-%m-%d}": value for day, value in rates.eia_values(code).items() if value is not None}


CODES = {row["publisher_code"].rpartition("/")[2]: series_id for series_id, row in load_series("eia").iterrows()}


def test_all_series_land_from_the_workbooks_without_a_key(publishers, landed):
    outcome = run("eia")["eia"]
    assert (outcome.state, outcome.reason) == ("landed", "")
    assert publishers.paths() == list(rates.WORKBOOKS.values())
    for code, series_id in CODES.items():
        assert values(landed("eia", series_id)) == expected(code)


@pytest.mark.parametrize("as_text", [True, False])
def test_all_series_land_from_the_api_with_a_key(keyed, publishers, landed, as_text):
    publishers.answers |= dict.fromkeys(
        [f"{rates.EIA_API}/{route}/data/" for route in rates.ROUTES.values()], rates.eia_api(as_text=as_text)
    )
    outcome = run("eia")["eia"]
    assert (outcome.state, outcome.reason) == ("landed", "")
    assert not any("www.eia.gov" in path for path in publishers.paths())
    for code, series_id in CODES.items():
        assert values(landed("eia", series_id)) == expected(code)
    run("eia")
    starts = {query["facets[series][]"]: query["start"] for _, query in publishers.requests}
    assert starts["RWTC"] == f"{BUSINESS_DAYS[-1] - pd.Timedelta(days=90):%Y-%m-%d}"
    newest = max(rates.eia_values(SOYBEAN_OIL))
    assert starts[SOYBEAN_OIL] == f"{newest - pd.Timedelta(days=400):%Y-%m}"


def test_both_interfaces_are_the_same_rows(publishers, landed, monkeypatch):
    run("eia")
    by_workbook = {series_id: landed("eia", series_id) for series_id in CODES.values()}
    monkeypatch.setenv("EIA_API_KEY", KEY)
    assert run("eia", is_full=True)["eia"].state == "unchanged"
    for series_id, before in by_workbook.items():
        pd.testing.assert_frame_equal(landed("eia", series_id), before)


def test_all_pages_are_read_if_eia_sends_fewer_rows_than_it_was_asked_for(keyed, publishers, landed):
    publishers.answers[WTI_API] = rates.eia_api(page_rows=40)
    outcome = run("eia")["eia"]
    assert (outcome.state, outcome.reason) == ("landed", "")  # the warning that there are more pages is not shown
    assert values(landed("eia", "EIA_RWTC")) == expected("RWTC")
    offsets = [query["offset"] for _, query in publishers.requests if query["facets[series][]"] == "RWTC"]
    assert offsets == ["0", "40", "80", "105"]
    assert {query["length"] for _, query in publishers.requests} == {"5000"}


def test_an_api_that_sends_fewer_rows_than_its_total_or_one_page_twice_is_refused(keyed, publishers):
    rows = [rates.eia_row("RWTC", "2024-06-06", "70.1")]
    answer = json.dumps({"response": {"total": "3", "data": rows}})
    end = json.dumps({"response": {"total": "3", "data": []}})
    publishers.answers[WTI_API] = lambda query: answer if query["offset"] == "0" else end
    assert "the API sent 1 of 3 rows" in run("eia")["eia"].reason
    publishers.answers[WTI_API] = answer
    assert "the API sent the same page twice" in run("eia")["eia"].reason


def test_a_warning_of_eia_is_shown(keyed, publishers):
    whole = rates.eia_api()

    def warned(query):
        answer = json.loads(whole(query))
        answer["response"]["warnings"] = [{"warning": "parameter out of range", "description": "start is too early."}]
        return json.dumps(answer)

    publishers.answers[f"{rates.EIA_API}/{rates.ROUTES['RNGWHHD']}/data/"] = warned
    outcome = run("eia")["eia"]
    assert outcome.state == "landed"
    assert outcome.reason == "EIA_RNGWHHD: EIA warns: start is too early"


@pytest.mark.parametrize(("warnings", "said"), [(None, ""), (["maintenance"], "EIA_RNGWHHD: EIA warns: maintenance")])
def test_warnings_of_eia_of_another_form_do_not_fail_the_source(keyed, publishers, warnings, said):
    whole = rates.eia_api()

    def warned(query):
        answer = json.loads(whole(query))
        answer["response"]["warnings"] = warnings
        return json.dumps(answer)

    publishers.answers[f"{rates.EIA_API}/{rates.ROUTES['RNGWHHD']}/data/"] = warned
    outcome = run("eia")["eia"]
    assert (outcome.state, outcome.reason) == ("landed", said)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            {"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."}},
            "answered: An invalid api_key",
        ),
        (
            {"error": "Invalid frequency 'millenially' provided.", "code": 400},
            "answered: Invalid frequency 'millenially'",
        ),
        ([], "has no response with data and total"),
        ({"response": {"total": "1"}}, "has no response with data and total"),
        ({"response": {"data": []}}, "has no response with data and total"),
        ({"response": {"total": "1", "data": [{"period": "2024-06-06", "series": "RWTC"}]}}, "rows lack value"),
        (
            {"response": {"total": "1", "data": [rates.eia_row("RBRTE", "2024-06-06", "1")]}},
            "sent RBRTE instead of RWTC",
        ),
    ],
)
def test_an_error_or_a_changed_format_of_the_api_is_refused(answer, words):
    with pytest.raises(SourceError, match=words):
        eia.parse_page(answer, "RWTC")


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, {"error": {"code": "API_KEY_INVALID", "message": "An invalid api_key was supplied."}}),
        (400, {"error": "An invalid api_key was supplied.", "code": 400}),
    ],
)
def test_a_refused_key_is_reported_in_the_words_of_eia(keyed, publishers, status, body):
    publishers.answers |= dict.fromkeys(
        [f"{rates.EIA_API}/{route}/data/" for route in rates.ROUTES.values()], Answer(json.dumps(body), status)
    )
    outcome = run("eia")["eia"]
    assert outcome.state == "failed"
    assert f"answered {status}: An invalid api_key was supplied. Check the access key EIA_API_KEY" in outcome.reason


@pytest.mark.parametrize(("period", "value"), [("2024-W23", "1"), ("2024-06-06", "x")])
def test_a_period_or_value_of_the_api_that_cannot_be_read_is_refused(keyed, publishers, period, value):
    page = json.dumps({"response": {"total": "1", "data": [rates.eia_row("RWTC", period, value)]}})
    end = json.dumps({"response": {"total": "1", "data": []}})
    publishers.answers[WTI_API] = lambda query: page if query["offset"] == "0" else end
    assert "cannot be read" in run("eia")["eia"].reason


def test_the_key_of_eia_is_in_nothing_that_a_run_shows_or_writes(publishers, data_dir):
    right = publishers.answers[WTI_API]
    echo = Answer(
        json.dumps({"error": {"code": "OVER_RATE_LIMIT", "message": f"The key {KEY} has made too many requests."}}), 403
    )
    publishers.answers[WTI_API] = lambda query: echo if query["facets[series][]"] == "RBRTE" else right(query)
    process = start("eia", EIA_API_KEY=KEY)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The key *** has made too many requests" in out
    assert {query.get("api_key") for _, query in publishers.requests} == {KEY}
    written = [file.read_bytes() for file in data_dir.rglob("*") if file.is_file()]
    assert len(written) > 5
    for content in (out.encode(), err.encode(), *written):
        assert KEY.encode() not in content


def test_a_negative_price_and_a_withheld_value_are_read():
    sheets = rates.eia_sheets(
        "RWTC", {pd.Timestamp("2020-04-17"): 18.31, pd.Timestamp("2020-04-20"): -36.98}, "4/22/2020"
    )
    sheets["Data 1"] += [[43942.0, 1.0, "W"], [43943.0, 1.0, None], [None, None, None]]
    found, released_on = eia.parse_workbook(rates.workbook(sheets), "RWTC")
    np.testing.assert_array_equal(found.to_numpy(), [18.31, -36.98, np.nan, np.nan])
    assert [f"{day:%m-%d}" for day in found.index] == ["04-17", "04-20", "04-21", "04-22"]
    assert released_on == date(2020, 4, 22)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sheets: sheets["Data 1"].__setitem__(1, ["Sourcekey", "OTHER", "RBRTE"]), "no column of RWTC"),
        (lambda sheets: sheets["Data 1"].__setitem__(1, ["Source", "OTHER", "RWTC"]), "no column of RWTC"),
        (lambda sheets: sheets.pop("Data 1"), "no column of RWTC"),
        (lambda sheets: sheets["Data 1"].append(["2024", 1.0, 2.0]), "a date of the workbook cannot be read"),
        (lambda sheets: sheets["Data 1"].append([1e9, 1.0, 2.0]), "a date of the workbook cannot be read"),
        (lambda sheets: sheets["Data 1"].append([43944.0, 1.0, "n/a"]), "a value cannot be read"),
    ],
)
def test_a_changed_format_of_the_workbook_is_refused(change, words):
    sheets = rates.eia_sheets("RWTC", rates.eia_values("RWTC"), "4/22/2020")
    change(sheets)
    with pytest.raises(SourceError, match=words):
        eia.parse_workbook(rates.workbook(sheets), "RWTC")


@pytest.mark.parametrize(
    "body", [b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, b"PK\x03\x04", b"DATE,VALUE\n1,2\n", b"\xd0"]
)
def test_a_damaged_workbook_is_refused(body):
    with pytest.raises(SourceError, match="the workbook is cut or damaged"):
        eia.parse_workbook(body, "RWTC")


@pytest.mark.parametrize("released", ["soon", "2026-11-25"])
def test_a_workbook_without_a_readable_release_date_is_read(released):
    sheets = rates.eia_sheets("RWTC", rates.eia_values("RWTC"), released)
    assert eia.parse_workbook(rates.workbook(sheets), "RWTC")[1] is None


@pytest.mark.parametrize("days_after_the_pull_before", [-1, 2])
def test_the_release_date_of_the_workbook_dates_a_new_value(publishers, data_dir, landed, days_after_the_pull_before):
    path = rates.WORKBOOKS["WCESTUS1"]
    publishers.answers[path] = rates.eia_workbook("WCESTUS1", last=small.FRIDAYS[-2].date())
    run("eia")
    pulled = as_if_pulled(data_dir, 5).date()
    released = pulled + timedelta(days=days_after_the_pull_before)
    publishers.answers[path] = rates.eia_workbook("WCESTUS1", released=f"{released:%-m/%-d/%Y}")
    run("eia")
    newest = landed("eia", "EIA_WCESTUS1").iloc[-1]
    assert newest["obs_date"] == small.FRIDAYS[-1].date()
    (due,) = by_rule("eia", "EIA_WCESTUS1", f"{small.FRIDAYS[-1]:%Y-%m-%d}")
    # a date before the last pull, which did not have the value, is not believed
    seen = released if days_after_the_pull_before > 0 else trade_date(datetime.now(UTC))
    assert newest["available_on"] == max(date.fromisoformat(due), seen)


# ---------------------------------------------------------------- real samples, where they are present


@pytest.fixture(scope="session")
def samples(real_landing) -> Path:
    folder = real_landing.parent / "formats"
    if not folder.is_dir():
        pytest.skip(f"no samples of wire formats: {folder} does not exist")
    return folder


@pytest.fixture(scope="session")
def real_values(real_landing):
    """Return a function that returns the real values of a series by day."""
    real = pd.concat([pd.read_parquet(file) for file in real_landing.glob("series*.parquet")])

    def of(series_id: str) -> pd.Series:
        own = real[real["series_id"] == series_id]
        return pd.Series(own["value"].to_numpy(), index=pd.to_datetime(own["obs_date"].to_numpy()))

    return of


def test_the_real_file_of_cboe_is_read(samples):
    text = (samples / "misc/cboe_VIX_History.csv").read_text()
    there = pd.read_csv(io.StringIO(text), parse_dates=["DATE"])
    closes = cboe.parse_history(text)
    assert len(closes) == len(there) == 49
    assert closes.to_dict() == dict(zip(there["DATE"], there["CLOSE"], strict=True))


def test_real_answers_of_the_new_york_fed_are_read(samples):
    for rate, file, n_days in (("SOFR", "nyfed_sofr_search.json", 4), ("EFFR", "nyfed_effr_search_trimmed.json", 25)):
        answer = json.loads((samples / "misc" / file).read_text())
        found = nyfed.parse_rates(answer, rate)
        assert {f"{day:%Y-%m-%d}": value for day, value in found.items()} == {
            row["effectiveDate"]: row["percentRate"] for row in answer["refRates"]
        }
        assert len(found) == n_days
    with pytest.raises(SourceError, match="has no list refRates"):  # an older feed
        nyfed.parse_rates(json.loads((samples / "misc/nyfed_sofr_alt_feed.json").read_text()), "SOFR")


def test_the_real_workbook_of_brent_has_the_values_of_real_data(samples, real_values):
    found, released_on = eia.parse_workbook((samples / "eia/RBRTEd.xls").read_bytes(), "RBRTE")
    assert (len(found), released_on, f"{found.index[-1]:%Y-%m-%d}") == (9220, date(2023, 9, 20), "2023-09-18")
    there = real_values("DCOILBRENTEU")
    known = there.index.intersection(found.index)
    assert len(known) > 3200
    assert np.isclose(found[known], there[known]).mean() > 0.999


@pytest.mark.parametrize("size", [600, 5000, 100_000, 450_000])
def test_the_real_workbook_that_is_cut_is_refused(samples, size):
    with pytest.raises(SourceError, match="cut or damaged"):
        eia.parse_workbook((samples / "eia/RBRTEd.xls").read_bytes()[:size], "RBRTE")


def test_real_answers_of_the_api_of_eia_are_read(samples):
    found = []
    for file in ("v2_route_petroleum-stoc-wstk_WCESTUS1_weekly.json", "v2_seriesid_PET.WCESTUS1.W.json"):
        rows, total, warnings = eia.parse_page(json.loads((samples / "eia" / file).read_text()), "WCESTUS1")
        assert (len(rows), total, warnings) == (20, 2193, [])
        found.append([(row["period"], float(row["value"])) for row in rows])
    assert found[0] == found[1]
    for case in json.loads((samples / "eia/v2_errors_from_docs.json").read_text()):
        with pytest.raises(SourceError, match=r"the API answered: (No api_key|Invalid frequency|Not found)"):
            eia.parse_page(case["body"], "RWTC")

"""FOMC calendar and Federal Register: their formats, what counts as an event, and since when it is known."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import small_policy as small
import small_publishers
from publishers import Answer, Publishers, ingest_one, isolate
from small_policy import EPA, FOMC, INSPECTION, NEXT_PAGE, PRESIDENT, REGISTER, TODAY, USTR, YEAR, days_ago

from zl_forecast.ingest.adapters import federal_register, fomc
from zl_forecast.ingest.publication import trade_date
from zl_forecast.ingest.sources import SourceError
from zl_forecast.landing import Landing, LandingFolder, read_table


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, and no keys or folders of the user's."""
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def samples(real_landing) -> Path:
    """Folder of the publishers' real samples, beside the real landing files."""
    folder = real_landing.parent / "formats/policy"
    if not folder.exists():
        pytest.skip(f"no samples of wire formats: {folder} does not exist")
    return folder


@pytest.fixture
def publishers():
    with Publishers(small_publishers.everything()) as publishers:
        yield publishers


@pytest.fixture
def run(data_dir):
    """Return a function that ingests one source, and returns its outcome and the landed events."""
    return partial(ingest_one, data_dir, table="policy_events")


@pytest.fixture
def today(monkeypatch, tmp_path):
    """Return a function that sets the day on which the calendar is read; the seed has the meetings up to this year."""
    file = tmp_path / "fomc_meetings.csv"
    days = [f"{year}-{day}" for year in (YEAR - 1, YEAR) for day in small.DECISIONS]
    file.write_text("\n".join(["meeting_date", *days, ""]))
    monkeypatch.setattr("zl_forecast.ingest.adapters.fomc.seed", lambda name: file)

    def set_day(day: date) -> None:
        monkeypatch.setattr("zl_forecast.ingest.adapters.fomc.trade_date", lambda instant: day)

    return set_day


def of_page(*days: str) -> list[date]:
    return [date.fromisoformat(day) for day in days]


# ---------------------------------------------------------------- FOMC: the page


def parsed(*meetings: tuple[str, str], year: int = 2026) -> list[str]:
    return [day.isoformat() for day in fomc.parse_calendar(small.calendar(small.panel(year, meetings)))]


def test_the_last_day_of_a_meeting_is_the_day_of_its_decision():
    assert parsed(("January", "27-28"), ("March", "17-18*"), ("August", "11")) == [
        "2026-01-28",
        "2026-03-18",
        "2026-08-11",
    ]


def test_a_meeting_over_two_months_ends_in_the_second_one_and_over_new_year_in_the_next_year():
    assert parsed(("Jan/Feb", "31-1"), ("Apr/May", "30 \u2013 1*"), ("Dec/Jan", "31-1")) == [
        "2026-02-01",
        "2026-05-01",
        "2027-01-01",
    ]


@pytest.mark.parametrize(
    "days", ["22 (notation vote)", "3 (unscheduled)", "17-18 (cancelled)", "17-18* (Canceled)", "4 (conference call)"]
)
def test_what_is_not_a_scheduled_meeting_is_left_out(days):
    assert parsed(("January", "27-28"), ("March", days)) == ["2026-01-28"]


def test_another_remark_is_no_reason_to_lose_a_meeting():
    assert parsed(("March", "17-18* (virtual)")) == ["2026-03-18"]


def test_panels_may_stand_in_any_order_and_comments_are_not_read():
    days = fomc.parse_calendar(small.calendar())
    assert days == sorted(
        date.fromisoformat(f"{year}-{day}") for year in (YEAR - 1, YEAR, YEAR + 1) for day in small.DECISIONS
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (small.calendar()[:-400], "fomccalendars.htm is cut: it has no end"),
        ("<html>Access denied</html>", "fomccalendars.htm has no FOMC meetings"),
        (small.calendar().replace("fomc-meeting__", "meeting-"), "fomccalendars.htm has no FOMC meetings"),
        (small.calendar(small.panel(2026, [("Janvier", "27-28"), ("Mars", "?")])), "'Mars' '?' of 2026 cannot be read"),
        (small.calendar(small.panel(2026, [("Smarch", "13")])), "'Smarch' '13' of 2026 cannot be read"),
        (small.calendar(small.panel(2026, [("February", "29-30")])), "'February' '29-30' of 2026 cannot be read"),
        (small.calendar(small.panel(2026)).replace("2026 FOMC", "FOMC"), "'January' '27-28' of None cannot be read"),
    ],
)
def test_a_changed_page_is_refused(text, words):
    with pytest.raises(SourceError) as error:
        fomc.parse_calendar(text)
    assert words in str(error.value)


def test_the_recorded_page_has_the_meetings_of_the_seed(samples):
    text = (samples / "fomccalendars_trimmed.htm").read_text(encoding="utf-8-sig") + "</html>"  # its end is cut off
    days = [day.isoformat() for day in fomc.parse_calendar(text)]
    listed = (Path(__file__).parents[2] / "seeds/fomc_meetings.csv").read_text().split()
    assert [day for day in days if day[:4] == "2026"] == [day for day in listed if day[:4] == "2026"]
    assert set(days) < set(listed)
    assert days[-1] == "2027-09-15"


# ---------------------------------------------------------------- FOMC: what a page adds


EMPTY = pd.DataFrame()
FUTURE = of_page("2028-01-26", "2028-03-15", "2028-05-03")


def added(rows: pd.DataFrame) -> list[tuple]:
    return [(f"{r.event_date:%Y-%m-%d}", f"{r.available_on:%Y-%m-%d}", r.severity) for r in rows.itertuples()]


def test_a_meeting_is_available_from_the_day_it_was_seen():
    rows = fomc.compare(FUTURE[1:], EMPTY, [], date(2028, 1, 26))
    assert added(rows) == [("2028-03-15", "2028-01-26", 1.0), ("2028-05-03", "2028-01-26", 1.0)]


def test_a_meeting_that_was_seen_after_it_took_place_is_available_from_its_own_day():
    rows = fomc.compare(FUTURE, EMPTY, FUTURE[:1], date(2028, 4, 1))  # the seed has the first one
    assert added(rows) == [("2028-03-15", "2028-03-15", 1.0), ("2028-05-03", "2028-04-01", 1.0)]
    gone = pd.concat([rows, rows[:1].assign(available_on=pd.Timestamp("2028-03-16"), severity=0.0)])
    assert added(fomc.compare(FUTURE, gone, FUTURE[:1], date(2028, 4, 2))) == [("2028-03-15", "2028-03-17", 1.0)]


def test_the_same_page_again_adds_nothing():
    rows = fomc.compare(FUTURE, EMPTY, [], date(2027, 9, 1))
    assert added(fomc.compare(FUTURE, rows, [], date(2027, 9, 2))) == []


def test_a_meeting_that_leaves_the_page_is_withdrawn_a_day_later_and_may_come_back():
    rows = fomc.compare(FUTURE, EMPTY, [], date(2027, 9, 1))
    gone = fomc.compare([*FUTURE[:2], date(2028, 5, 10)], rows, [], date(2027, 9, 1))
    assert added(gone) == [("2028-05-03", "2027-09-02", 0.0), ("2028-05-10", "2027-09-01", 1.0)]
    held = pd.concat([rows, gone])
    assert added(fomc.compare([*FUTURE[:2], date(2028, 5, 10)], held, [], date(2027, 10, 1))) == []
    back = fomc.compare([*FUTURE, date(2028, 5, 10)], held, [], date(2027, 10, 1))
    assert added(back) == [("2028-05-03", "2027-10-01", 1.0)]


def test_a_meeting_of_the_seed_is_withdrawn_only_if_the_page_has_its_year_and_it_has_not_taken_place():
    announced = of_page("2027-12-08", "2028-01-26", "2028-04-05", "2029-01-31")
    rows = fomc.compare(FUTURE, EMPTY, announced, date(2027, 12, 31))
    assert added(rows)[2] == ("2028-04-05", "2027-12-31", 0.0)
    assert len(rows) == 4
    assert added(fomc.compare(FUTURE, rows, announced, date(2028, 1, 1))) == []


def test_a_reading_after_the_meeting_changes_nothing():
    rows = fomc.compare(FUTURE, EMPTY, [], date(2027, 9, 1))
    assert added(fomc.compare(FUTURE[:2], rows, [], date(2028, 5, 3))) == []


# ---------------------------------------------------------------- FOMC: as a source


def test_future_meetings_land_as_events_and_a_second_run_changes_nothing(publishers, run, today):
    today(date(YEAR, 12, 1))
    outcome, rows = run("fomc")
    assert (outcome.state, outcome.n_new) == ("landed", 9)
    assert set(rows["bucket"]) == {"fomc"}
    assert set(rows["available_on"]) == {date(YEAR, 12, 1)}
    assert [f"{day:%m-%d}" for day in rows["event_date"]] == ["12-09", *small.DECISIONS]
    today(date(YEAR, 12, 8))
    outcome, _ = run("fomc")
    assert (outcome.state, outcome.n_rows) == ("unchanged", 9)


def test_a_withdrawn_meeting_is_said_and_the_row_before_it_stays(publishers, run, today):
    today(date(YEAR, 12, 1))
    _, before = run("fomc")
    moved = [("January", "20-21"), *small.MEETINGS[1:]]
    publishers.answers[FOMC] = small.calendar(small.panel(YEAR), small.panel(YEAR + 1, moved))
    today(date(YEAR, 12, 5))
    outcome, after = run("fomc")
    assert (outcome.n_new, outcome.n_revised) == (2, 0)
    assert len(after.merge(before, how="inner")) == len(before) == len(after) - 2
    assert f"no longer scheduled: {YEAR + 1}-01-28" in outcome.reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (Answer("busy", 429, {"Retry-After": "0"}), "answered 429, after 5 attempts"),
        (Answer("down", 500), "answered 500, after 5 attempts"),
        (Answer(small.calendar(), missing_bytes=900), "after 5 attempts"),
        (Answer("gone", 404), "www.federalreserve.gov answered 404. See https://www.federalreserve.gov"),
        ("", "sent an empty document"),
        (small.calendar(small.panel(YEAR, small.MEETINGS[:4])), f"has 4 scheduled meetings in {YEAR} instead of 8"),
        (
            small.calendar(small.panel(YEAR), small.panel(YEAR + 1, small.MEETINGS[:2])),
            f"2 scheduled meetings in {YEAR + 1}",
        ),
        (small.calendar(small.panel(YEAR - 1)), f"fomccalendars.htm ends with {YEAR - 1}. An old copy was sent"),
    ],
)
def test_a_failed_reading_of_the_calendar_is_named_and_leaves_the_file(publishers, run, body, words):
    _, before = run("fomc")
    publishers.answers[FOMC] = body
    outcome, after = run("fomc")
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert after.equals(before)


# ---------------------------------------------------------------- Federal Register: which documents are events

RFS, TARIFF_301, PRESIDENTIAL = federal_register.QUERIES
TITLES = {  # of real documents, by query; False for those that only mention the matter
    RFS.name: {
        "Regulation of Fuels and Fuel Additives: Changes to Renewable Fuel Standard Program": True,
        "Regulation of Fuels and Fuel Additives: Modifications to Renewable Fuel Standard Program Requirements": True,
        "Renewable Fuel Standard Program: Standards for 2020 and Biomass-Based Diesel Volume for 2021, and Response to "
        "the Remand of the 2016 Standards; Supplemental Notice of Proposed Rulemaking": True,
        "Renewable Fuel Standard (RFS) Program: RFS Annual Rules": True,
        "Renewable Fuel Standard (RFS) Program: Alternative RIN Retirement Schedule for Small Refineries": True,
        "Public Hearing for RFS Standards for 2023-2025 and Other Changes": True,
        "Notice of Denial of Petition for Partial Waiver of 2023 Cellulosic Biofuel Standard Under the Renewable Fuel "
        "Standard Program": True,
        "Renewable Fuel Standard (RFS) Program Compliance; Notification of Webinar": False,
        "Proposed Information Collection Request; Comment Request; Recordkeeping and Reporting for the Renewable Fuel "
        "Standard Program": False,
        "Air Plan Revisions; California; Feather River Air Quality Management District": False,
        "Revised Cross-State Air Pollution Rule Update for the 2008 Ozone NAAQS": False,
    },
    TARIFF_301.name: {
        "Notice of Modification of Section 301 Action: China's Acts, Policies, and Practices Related to Technology "
        "Transfer, Intellectual Property, and Innovation": True,
        "Request for Comments Concerning Proposed Modification of Action Pursuant to Section 301: China's Acts, "
        "Policies, and Practices Related to Technology Transfer, Intellectual Property, and Innovation": True,
        "Notice of Product Exclusions: China\u2019s Acts, Policies, and Practices Related to Technology Transfer": True,
        "Notice of Action: China's Acts, Policies, and Practices Related to Targeting of the Semiconductor Industry for "
        "Dominance": True,
        "Notice of Action in the Section 301 Investigation of France's Digital Services Tax": False,
        "Request for Comments on China's Compliance With Its WTO Commitments": False,
    },
    PRESIDENTIAL.name: {
        "Adjusting Imports of Steel Into the United States": True,
        "Imposing Duties To Address the Synthetic Opioid Supply Chain in the People's Republic of China": True,
        "Amendment to Duties To Address the Flow of Illicit Drugs Across Our Northern Border": True,
        "Suspending Duty-Free De Minimis Treatment for All Countries": True,
        "Modifying the Scope of Reciprocal Tariffs With Respect to Certain Agricultural Products": True,
        "Increasing Duties on Certain Articles From the Russian Federation": True,
        "Actions by the United States Related to the Section 301 Investigation of China's Laws, Policies, Practices, or "
        "Actions": True,
        "Ending Certain Tariff Actions": True,
        "Protecting Second Amendment Rights": False,
        "National Volunteer Week, 2025": False,
        "Finding Pursuant to Section 303 of the Defense Production Act of 1950, as Amended": False,
        "Ordering the Selected Reserve of the Armed Forces to Active Duty": False,
        "Imposing Sanctions on the International Criminal Court": False,
    },
}


@pytest.mark.parametrize("query", federal_register.QUERIES, ids=lambda query: query.name)
def test_the_title_says_whether_a_document_is_an_event(query):
    wrong = {title for title, is_event in TITLES[query.name].items() if query.wants(title) != is_event}
    assert not wrong


def parse(query=RFS, **changed) -> pd.Series:
    document = small.document("2026-06275", "Renewable Fuel Standard", date(2026, 4, 1), type="Rule") | changed
    (event,) = federal_register.parse_documents([document], query).to_dict("records")
    return event


def test_an_event_is_available_on_its_day_of_publication_and_dated_by_its_effect():
    event = parse(effective_on="2026-06-15")
    assert (event["event_date"], event["available_on"]) == (pd.Timestamp("2026-06-15"), pd.Timestamp("2026-04-01"))
    assert parse()["event_date"] == pd.Timestamp("2026-04-01")
    assert parse(effective_on="2206-06-15")["event_date"] == pd.Timestamp("2026-04-01")  # a misprint


@pytest.mark.parametrize(
    ("changed", "severity"),
    [
        ({"type": "Rule"}, 1.0),
        ({"type": "Proposed Rule"}, 1.0),
        ({"type": "Presidential Document"}, 1.0),
        ({"type": "Notice"}, 0.5),
        ({"type": "Uncategorized Document"}, 0.5),
        ({"correction_of": "https://www.federalregister.gov/api/v1/documents/2026-06275"}, 0.25),
        ({"action": "Correcting amendment."}, 0.25),
        ({"title": "Renewable Fuel Standard; Correction"}, 0.25),
    ],
)
def test_the_severity_follows_from_the_type(changed, severity):
    event = parse(**changed)
    assert event["severity"] == severity
    assert event["kind"] == changed.get("type", "Rule")


def test_exclusions_of_products_weigh_like_corrections():
    title = "Notice of Product Exclusions: China's Acts, Policies, and Practices"
    assert parse(TARIFF_301, title=title, type="Notice")["severity"] == 0.25


def test_a_title_is_one_printable_line():
    assert (
        parse(title="  Renewable Fuel\n Standard\t(RFS)\x1b[31m ")["title"] == "Renewable Fuel Standard (RFS)\\x1b[31m"
    )


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"publication_date": None}, "document 2026-06275: the date None cannot be read"),
        ({"publication_date": "04/01/2026"}, "document 2026-06275: the date 04/01/2026 cannot be read"),
        ({"effective_on": "soon"}, "document 2026-06275: the date soon cannot be read"),
    ],
)
def test_a_date_that_cannot_be_read_is_refused(changed, words):
    with pytest.raises(SourceError, match=re.escape(words)):
        parse(**changed)


@pytest.mark.parametrize("field", federal_register.FIELDS)
def test_a_document_without_a_field_is_refused(field):
    document = small.document("2026-06275", "Renewable Fuel Standard", date(2026, 4, 1))
    del document[field]
    with pytest.raises(SourceError, match=f"a document of the Federal Register lacks {field}"):
        federal_register.parse_documents([document], RFS)


def test_recorded_documents_are_read(samples):
    lines = json.loads((samples / "federal_register_documents_real_trimmed.json").read_text())["results"]
    lines = [{"effective_on": None, "correction_of": None} | line for line in lines]  # fields that were not asked for
    anything = federal_register.Query("biofuel", "", {}, "", re.compile("Correction|Paperwork"))
    events = federal_register.parse_documents(lines, anything)
    assert events["document_number"].tolist() == ["2026-17623", "2026-17622"]
    assert events["severity"].tolist() == [0.5, 0.25]


# ---------------------------------------------------------------- Federal Register: public inspection

NOW = datetime(2026, 11, 25, 18, tzinfo=UTC)


def inspected(*rows: dict) -> list[tuple]:
    events = federal_register.parse_inspection(json.loads(small.inspection(*rows)), NOW)
    return [
        (r.document_number, r.bucket, f"{r.event_date:%m-%d}", f"{r.available_on:%m-%d}") for r in events.itertuples()
    ]


def test_a_filed_document_is_available_at_the_cut_off_after_its_filing():
    late = {"filed": "2026-11-25T18:15:00.000-05:00", "day": date(2026, 12, 1)}  # 17:15 in Chicago
    soon = {"filed": "2026-11-25T08:45:00.000-05:00", "day": date(2026, 11, 27)}
    assert inspected(
        small.filing("2026-1", "Renewable Fuel Standard Program", **soon),
        small.filing("2026-2", "Imposing Duties on Imports", PRESIDENT, **late),
        small.filing("2026-3", "Section 301 Action: China's Acts", USTR, **soon),
        small.filing("2026-4", "Renewable Fuel Standard Program", "agriculture-department", **soon),
        small.filing("2026-5", "Imposing Duties on Imports", "international-trade-administration", **soon),
        small.filing("2026-6", None, **soon),
        small.filing("2026-7", "Imposing Duties on Imports", PRESIDENT, **soon) | {"filed_at": None, "agencies": []},
        small.filing("2026-8", "Renewable Fuel Standard", **soon) | {"publication_date": None},
    ) == [
        ("2026-1", "biofuel", "11-27", "11-25"),
        ("2026-2", "tariff", "12-01", "11-26"),
        ("2026-3", "tariff", "11-27", "11-25"),
        ("2026-7", "tariff", "11-27", "11-25"),
        ("2026-8", "biofuel", "11-25", "11-25"),
    ]


def test_a_filing_without_a_time_zone_is_refused():
    with pytest.raises(SourceError, match="document 2026-1: the date 2026-11-25T08:45:00 cannot be read"):
        inspected(small.filing("2026-1", "Renewable Fuel Standard", filed="2026-11-25T08:45:00", day=TODAY))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([], "public inspection: the answer has no results"),
        ({"count": 0}, "public inspection: the answer has no results"),
        ({"count": 2, "results": []}, "public inspection: 0 of 2 documents"),
        ({"count": 1, "results": [{"title": "x"}]}, "lacks document_number, type, agencies"),
    ],
)
def test_a_changed_list_of_public_inspection_is_refused(answer, words):
    with pytest.raises(SourceError) as error:
        federal_register.parse_inspection(answer, NOW)
    assert words in str(error.value)


# ---------------------------------------------------------------- Federal Register: as a source


def numbers(rows: pd.DataFrame) -> set[str]:
    return set(rows["document_number"])


ALL = {"01-2345", "2026-00001", "2026-00004", "2026-00005", "2026-00007"}


def test_events_of_both_buckets_land_in_the_contract_and_a_second_run_changes_nothing(publishers, run, data_dir):
    outcome, rows = run("federal_register")
    assert (outcome.state, outcome.n_new, outcome.reason) == ("landed", 5, "")
    assert numbers(rows) == ALL
    assert dict(zip(rows["document_number"], rows["bucket"], strict=True))["2026-00007"] == "tariff"
    table = read_table("policy_events", LandingFolder(data_dir / "landing", "market")).to_pandas()
    assert len(table) == 5
    assert "Renewable Fuel Standard (RFS) Program: Standards for 2027" in set(table["title"])
    publishers.requests.clear()
    outcome, _ = run("federal_register")
    assert (outcome.state, outcome.n_rows) == ("unchanged", 5)
    asked = {query["conditions[publication_date][gte]"] for path, query in publishers.requests if path == REGISTER}
    assert min(asked) >= f"{TODAY - timedelta(days=450)}"
    run("federal_register", is_full=True)
    asked = {query["conditions[publication_date][gte]"] for path, query in publishers.requests if path == REGISTER}
    assert min(asked) == "2000-01-01"


def test_the_search_is_asked_by_year_for_the_fields_that_are_read(publishers, run):
    run("federal_register", history_from=date(YEAR - 1, 5, 6))
    asked = [query for path, query in publishers.requests if path == REGISTER]
    assert len(asked) == 6
    assert {
        (query["conditions[publication_date][gte]"], query["conditions[publication_date][lte]"]) for query in asked
    } == {
        (f"{YEAR - 1}-05-06", f"{YEAR - 1}-12-31"),
        (f"{YEAR}-01-01", f"{YEAR}-12-31"),
    }
    assert asked[0]["conditions[agencies][]"] == EPA
    assert asked[0]["conditions[term]"] == '"Renewable Fuel Standard"'


def test_pages_are_followed_on_the_publishers_host(publishers, run):
    publishers.answers[REGISTER] = publishers.answers[NEXT_PAGE] = small.register(page_rows=1)
    _, rows = run("federal_register")
    assert numbers(rows) == ALL
    following = [query for path, query in publishers.requests if path == NEXT_PAGE]
    assert {query["search_after_cursor"] for query in following} == {"WzE3"}
    assert {query["page"] for query in following} >= {"2", "3"}


def changed_answer(change):
    whole = small.register()

    def respond(query):
        answer = json.loads(whole(query))
        if answer["count"]:
            change(answer)
        return json.dumps(answer)

    return respond


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda answer: answer.update(next_page_url="https://example.com/documents?page=2"),
            "the next page is on example.com",
        ),
        (lambda answer: answer.update(next_page_url="http://www.federalregister.gov/x"), "the next page is on www."),
        (lambda answer: answer.update(count=10_000), "10,000 documents or more, which the API does not count"),
        (lambda answer: answer.update(count=77), "of 77 documents"),
        (lambda answer: answer.pop("results"), "the Federal Register sent 0 of"),
        (lambda answer: answer.update(results=[], next_page_url=f"https://{NEXT_PAGE}?page=2"), "Register sent 0 of"),
        (lambda answer: answer.pop("count"), "the answer has no count"),
        (lambda answer: answer["results"][0].update(publication_date="1999-05-06"), "1 documents are not from"),
        (lambda answer: answer["results"][0].pop("type"), "lacks type"),
    ],
)
def test_a_wrong_answer_is_refused_with_its_reason(publishers, run, change, words):
    publishers.answers[REGISTER] = publishers.answers[NEXT_PAGE] = changed_answer(change)
    outcome, rows = run("federal_register")
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert rows.empty


def test_the_same_page_again_and_again_is_refused(publishers, run):
    first = json.loads(small.register()({"conditions[publication_date][gte]": "2001-01-01", "per_page": "9",
        "conditions[publication_date][lte]": "2001-12-31", "conditions[agencies][]": EPA}))  # fmt: skip
    again = json.dumps(first | {"count": 3, "next_page_url": f"https://{NEXT_PAGE}?page=2"})
    publishers.answers[REGISTER] = publishers.answers[NEXT_PAGE] = again
    outcome, _ = run("federal_register", history_from=date(YEAR, 1, 1))
    assert "the Federal Register sent 4 of 3 documents" in outcome.reason


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (Answer("busy", 429, {"Retry-After": "0"}), "answered 429, after 5 attempts"),
        (Answer("down", 500), "answered 500, after 5 attempts"),
        (Answer('{"count": 1}', missing_bytes=3), "after 5 attempts"),
        (
            Answer('{"status":400,"message":"Invalid search_after_cursor token"}', 400),
            "400: Invalid search_after_cursor token",
        ),
        ("<html>maintenance</html>", "sent a web page instead of JSON data"),
        ('{"count": 1, "res', "sent JSON that is cut or damaged"),
        ("[]", "the answer has no count"),
        ("", "sent an empty document"),
        ('{"description": "Documents", "count": 0}', "the Federal Register sent no document since"),
    ],
)
def test_a_failed_search_is_named_and_leaves_the_file(publishers, run, body, words):
    _, before = run("federal_register")
    publishers.answers[REGISTER] = body
    outcome, after = run("federal_register")
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert after.equals(before)


def test_one_bucket_that_fails_does_not_stop_the_other_and_its_history_is_loaded_later(publishers, run):
    whole = small.register()
    publishers.answers[REGISTER] = lambda query: (
        Answer("gone", 404) if query.get("conditions[type][]") == "PRESDOCU" else whole(query)
    )
    publishers.answers[INSPECTION] = small.inspection(
        small.filing("2026-00010", "Imposing Duties", PRESIDENT, filed=f"{TODAY}T08:45:00-05:00", day=TODAY)
    )
    outcome, rows = run("federal_register")
    assert outcome.state == "partial"
    assert "tariff: presidential documents" in outcome.reason
    assert set(rows["bucket"]) == {"biofuel"}
    publishers.answers[REGISTER] = whole
    outcome, rows = run("federal_register")
    assert outcome.state == "landed"
    assert numbers(rows) == ALL | {"2026-00010"}


def test_titles_that_no_longer_match_are_noticed(publishers, run):
    rows = [
        small.document("2026-00001", "Air Plan Approval; Iowa", days_ago(3), slug) for slug in (EPA, USTR, PRESIDENT)
    ]
    publishers.answers[REGISTER] = small.register(rows)
    outcome, _ = run("federal_register")
    assert outcome.state == "failed"
    assert "none of the titles since 2000-01-01 is about biofuel" in outcome.reason


def test_a_list_of_public_inspection_that_fails_leaves_the_documents_landed(publishers, run):
    publishers.answers[INSPECTION] = Answer("gone", 404)
    outcome, rows = run("federal_register")
    assert outcome.state == "partial"
    assert "public inspection: www.federalregister.gov answered 404" in outcome.reason
    assert numbers(rows) == ALL


def test_a_document_stays_as_it_was_first_known(publishers, run):
    number, title = "2026-00011", "Renewable Fuel Standard (RFS) Program: Partial Waiver"
    filed = datetime.now(UTC) - timedelta(hours=30)
    published = trade_date(filed) + timedelta(days=1)
    publishers.answers[INSPECTION] = small.inspection(
        small.filing(number, title, filed=filed.isoformat(), day=published, type="Rule")
    )
    run("federal_register")
    publishers.answers[INSPECTION] = small.inspection()
    later = small.document(
        number, f"{title} of 2026", published, type="Rule", effective_on=f"{published + timedelta(60)}"
    )
    publishers.answers[REGISTER] = small.register([*small.documents(), later])
    outcome, rows = run("federal_register")
    assert outcome.state == "unchanged"
    (event,) = rows[rows["document_number"] == number].itertuples()
    assert (event.title, event.available_on, event.event_date) == (title, trade_date(filed), published)


def test_a_document_on_both_lists_counts_once_and_from_its_filing(publishers, run):
    filed = datetime.now(UTC) - timedelta(hours=30)
    publishers.answers[INSPECTION] = small.inspection(
        small.filing("2026-00001", "Renewable Fuel Standard", filed=filed.isoformat(), day=TODAY)
    )
    _, rows = run("federal_register")
    assert rows.loc[rows["document_number"] == "2026-00001", "available_on"].tolist() == [trade_date(filed)]


def test_two_documents_of_one_title_and_day_are_one_event_whose_row_does_not_change(publishers, run):
    twice = [small.document(f"2026-0002{n}", "Renewable Fuel Standard", days_ago(5)) for n in (1, 2)]
    publishers.answers[REGISTER] = small.register([*small.documents(), *twice])
    _, rows = run("federal_register")
    assert numbers(rows) == ALL | {"2026-00021"}
    publishers.answers[REGISTER] = small.register([*small.documents(), *twice[::-1]])
    assert run("federal_register")[0].state == "unchanged"


def test_documents_of_different_years_may_have_the_same_number(publishers, run):
    again = small.document("01-2345", "Renewable Fuel Standard", date(2011, 7, 12))
    publishers.answers[REGISTER] = small.register([*small.documents(), again])
    _, rows = run("federal_register")
    assert (rows["document_number"] == "01-2345").sum() == 2


def own_events(data_dir, *buckets: str) -> None:
    (data_dir / "landing").mkdir(parents=True, exist_ok=True)
    lines = [f"2024-05-06,2024-05-06,{bucket},tariff,Mine,1\n" for bucket in buckets]
    header = "event_date,available_on,bucket,kind,title,severity\n"
    (data_dir / "landing/policy_events_mine.csv").write_text(header + "".join(lines))


def test_a_bucket_of_a_file_of_your_own_is_left_to_it_in_any_spelling(publishers, run, data_dir):
    run("federal_register")
    own_events(data_dir, "Tariff")
    outcome, rows = run("federal_register")
    assert outcome.reason == "policy_events_mine.csv supplies tariff"
    assert set(rows["bucket"]) == {"biofuel"}
    own_events(data_dir, "tariff", "biofuel", "fomc")
    publishers.requests.clear()
    for source in ("federal_register", "fomc"):
        outcome, rows = run(source)
        assert (outcome.state, rows.empty) == ("skipped", True)
        assert outcome.reason == "other files supply its policy_events: policy_events_mine.csv"
    assert publishers.requests == []


def test_events_of_a_bucket_are_loaded_again_on_request(publishers, run):
    run("federal_register")
    publishers.answers[REGISTER] = small.register(
        [row for row in small.documents() if row["document_number"] != "2026-00005"]
    )
    assert numbers(run("federal_register")[1]) == ALL
    assert numbers(run("federal_register", reload=["tariff"])[1]) == ALL - {"2026-00005"}


def test_both_sources_share_the_table_and_the_landing_check_knows_their_buckets(publishers, run, data_dir):
    run("federal_register")
    run("fomc")
    landing = Landing(LandingFolder(data_dir / "landing", "market"))
    assert set(landing.table("policy_events")["bucket"].to_pylist()) == {"biofuel", "tariff", "fomc"}
    assert not [finding for finding in landing.findings().to_pylist() if finding["table_name"] == "policy_events"]

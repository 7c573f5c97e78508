"""WASDE and export sales: their formats, when a value counts as public, and what a failure leaves."""

import csv
import json
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import small_usda as small
from publishers import Answer, Publishers, ingest_one, isolate
from small_usda import CATALOGUE, CHINA, ESR, OIL, RELEASES, ROWS, SOYBEANS, THURSDAYS

from zl_forecast.ingest.adapters import fas, wasde
from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError, load_delays, load_series
from zl_forecast.ingest.store import Store

KEY = "abcdef0123456789abcdef0123456789"
CODES = load_series("wasde")["publisher_code"]
ENDING, BIOFUEL, IMPORTS = (
    "WASDE_US_SBO_ENDING_STOCKS_NEW",
    "WASDE_US_SBO_BIOFUEL_NEW",
    "WASDE_CN_SB_IMPORTS_NEW",
)


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch) -> Path:
    """An empty data folder, a key of FAS, and a history that begins with the first small report."""
    folder = isolate(monkeypatch, tmp_path)
    monkeypatch.setenv("FAS_API_KEY", KEY)
    monkeypatch.setattr(wasde, "FIRST_REPORT", RELEASES[0])
    return folder


@pytest.fixture
def seen() -> date:
    """Day on which a value that is fetched now is available."""
    return trade_date(datetime.now(UTC))


@pytest.fixture
def publishers():
    with Publishers(small.everything()) as publishers:
        yield publishers


@pytest.fixture
def run(data_dir):
    """Return a function that ingests one source, and returns its outcome and the landed rows."""
    return partial(ingest_one, data_dir)


@pytest.fixture(scope="module")
def samples(real_landing):
    folder = real_landing.parent / "formats" / "usda"
    if not folder.exists():
        pytest.skip(f"no samples of the publishers' formats: {folder} does not exist")
    return folder


def vintages(rows, series_id, day=None):
    """Return (available_on, value, available_by) of a series' rows, of one observation or by observation."""
    own = rows[rows["series_id"] == series_id].sort_values(["obs_date", "available_on"])
    found = {}
    for row in own.itertuples():
        found.setdefault(row.obs_date, []).append((row.available_on, row.value, row.available_by))
    return found if day is None else found[day]


# ---------------------------------------------------------------- WASDE: what a report says


def parse(text):
    month, values = wasde.parse_report(text.encode(), CODES)
    return month, {name: values[code] for name, code in CODES.items()}


@pytest.mark.parametrize("day", [date(2026, 1, 12), date(2026, 5, 12), date(2026, 6, 11), date(2026, 9, 11)])
def test_the_estimate_of_this_month_for_the_newest_marketing_year_is_read(day):
    month, values = parse(small.report(day))
    assert month == f"{day:%B %Y}"
    assert values == {name: small.wasde_value(name, day) for name in ROWS}


# printed in the reports of June 2011, June 2012, November 2013 and June 2026
@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ({"     Biofuel 3/": "     Methyl Ester"}, {BIOFUEL: "3,500", ENDING: "2,158", IMPORTS: "58.00"}),
        ({"     Biofuel 3/": "     Biodiesel 3/", "Ending stocks": "Ending Stocks 4/"}, {BIOFUEL: "5,600"}),
        ({"U.S. Soybeans and": "U. S. Soybeans and", "  1/": "  1/ 2/"}, {ENDING: "1,635 *"}),
        ({'"Million Pounds"': '"Million "', "Exports": "Exports  8/"}, {ENDING: "2,135"}),
    ],
)
def test_labels_that_differ_from_report_to_report_are_read(labels, values):
    text = small.report(date(2026, 6, 11), values, labels)
    if '"Million "' in text:  # the unit is split over two cells
        text = text.replace(
            '<Cell m1_unit_descr5="Million " /><Cell m1_unit_descr5="" />',
            '<Cell m1_unit_descr5="Million " /><Cell m1_unit_descr5=" Pounds" />',
        )
    found = parse(text)[1]
    assert {name: found[name] for name in values} == {
        name: float(text.replace(",", "").strip(" *")) for name, text in values.items()
    }
    assert None not in found.values()


@pytest.mark.parametrize("missing", ["NA", "", "--"])
def test_a_row_or_value_that_a_report_does_not_have_is_none(missing):
    assert parse(small.report(date(2012, 6, 12), without=[BIOFUEL]))[1][BIOFUEL] is None
    assert parse(small.report(date(2012, 6, 12), {BIOFUEL: missing}))[1][BIOFUEL] is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "the report is cut, or not XML"),
        (lambda text: "<!DOCTYPE html><html><p>maintenance<br></html>", "the report is cut, or not XML"),
        (lambda text: "<html><p>maintenance</p></html>", "is not a WASDE report: it has no Report_Month"),
        (lambda text: text.replace("World Soybean Supply", "Soybeans: World Supply"), "no table 'World Soybean Supply"),
        (lambda text: text.replace("1,009.26", "n/m"), "has the values n/m for 'U.S. Soybeans"),
        (
            lambda text: text.replace("Avg. Farm Price (c/lb)  2/", "Ending stocks"),
            "has the values 1009.26, 52.50 - 56.50 for 'U.S. Soybeans",
        ),
    ],
)
def test_a_changed_report_is_refused(change, words):
    day = date(2026, 9, 11)
    with pytest.raises(SourceError) as error:
        parse(change(small.report(day)))
    assert words in str(error.value)


# ---------------------------------------------------------------- WASDE: what lands


def test_reports_land_with_their_release_days_and_a_second_run_reads_two_of_them(publishers, run):
    outcome, rows = run("wasde")
    assert (outcome.state, outcome.n_rows, outcome.reason) == ("landed", 8 * len(RELEASES), "")
    for name in ROWS:
        assert vintages(rows, name) == {day: [(day, small.wasde_value(name, day), "publisher")] for day in RELEASES}
    publishers.requests.clear()
    outcome, again = run("wasde")
    assert outcome.state == "unchanged"
    assert again.equals(rows)
    assert publishers.paths() == [CATALOGUE, small.path(RELEASES[-1]), small.path(RELEASES[-2])]


def test_a_new_report_is_available_on_its_release_day_and_a_month_without_one_is_no_failure(publishers, run):
    early = [*RELEASES[:-4], RELEASES[-3]]  # a shutdown, and two reports that are not out yet
    publishers.answers = small.wasde(early)
    outcome, _ = run("wasde")
    assert (outcome.state, outcome.n_rows, outcome.reason) == ("landed", 8 * len(early), "")
    publishers.answers = small.wasde([*early, *RELEASES[-2:]])
    outcome, rows = run("wasde")
    assert (outcome.state, outcome.n_new, outcome.n_revised) == ("landed", 16, 0)
    assert vintages(rows, ENDING, RELEASES[-1])[0][0] == RELEASES[-1]
    assert RELEASES[-4] not in vintages(rows, ENDING)


@pytest.mark.parametrize(("said", "added"), [(2.0, []), (1.0, [(date(2026, 1, 16), 1.0, "capture")])])
def test_a_report_on_file_is_compared_with_its_newest_vintage(said, added):
    day = pd.Timestamp("2026-01-12")
    available_on = pd.to_datetime(["2026-01-15", "2026-01-12"])
    held = pd.DataFrame({"obs_date": day, "available_on": available_on, "value": [2.0, 1.0]})
    fetched_at = datetime(2026, 1, 15, 18, tzinfo=UTC)  # on the day of the newest vintage: a build may have read that
    reading = wasde._Reading(
        wasde.Edition(available_on=day.date(), version=1, url="", released_on=day.date()), {"code": said}, fetched_at
    )
    rows = wasde._vintages(held, "code", {day.date(): [reading]})
    assert [(row.available_on.date(), row.value, row.available_by) for row in rows.itertuples()] == added


def test_a_corrected_report_is_a_further_vintage_since_the_day_it_was_seen(publishers, run, seen):
    _, before = run("wasde")
    day = RELEASES[-1]
    corrected = small.release(day, f"https://{small.path(day, 'v2')}", description="reposted")
    publishers.answers[CATALOGUE] = small.catalogue([*map(small.release, RELEASES[:-1]), corrected])
    publishers.answers[small.path(day, "v2")] = small.report(day, {ENDING: 4321})
    outcome, rows = run("wasde")
    assert (outcome.state, outcome.n_new, outcome.n_revised) == ("landed", 0, 1)
    assert vintages(rows, ENDING, day) == [
        (day, small.wasde_value(ENDING, day), "publisher"),
        (max(seen, day + timedelta(days=1)), 4321, "capture"),
    ]
    assert len(rows.merge(before, how="inner")) == len(before)
    assert run("wasde")[0].state == "unchanged"
    publishers.answers[small.path(day, "v2")] = small.report(day, {ENDING: 5432})  # on the same day again
    outcome, rows = run("wasde")
    assert [row[1:] for row in vintages(rows, ENDING, day)][1:] == [(4321, "capture"), (5432, "capture")]
    assert vintages(rows, ENDING, day)[2][0] > vintages(rows, ENDING, day)[1][0]


@pytest.mark.parametrize(
    ("suffix", "description", "days"),
    [
        ("V2", "<p>NOTE: On {two:%B %d, %Y}, the report was reposted to correct an error.</p>", 2),
        ("", "<p>NOTE: On {two:%B %d, %Y}, the report was reposted to correct an error.</p>", 2),
        ("V2", "<p>Corrects the report of {zero:%B %d, %Y}.</p>", wasde.MAX_DAYS_TO_REPOST),
        ("v3", "", wasde.MAX_DAYS_TO_REPOST),
        ("", "<p>On {two:%B %d, %Y}, the report was re-issued.</p>", 2),
        ("", "<p>Corrected on {two:%B %d, %Y}.</p>", 2),
        ("", "<p>The next report is on {two:%B %d, %Y}.</p>", 0),
    ],
)
def test_the_first_load_of_a_corrected_report_is_dated_by_the_correction(publishers, run, suffix, description, days):
    day = RELEASES[-3]
    text = description.format(two=day + timedelta(days=2), zero=day)
    corrected = small.release(day, f"https://{small.path(day, suffix)}", description=text)
    others = [small.release(other) for other in RELEASES if other != day]
    publishers.answers[CATALOGUE] = small.catalogue([corrected, *others])
    publishers.answers[small.path(day, suffix)] = small.report(day)
    _, rows = run("wasde")
    assert vintages(rows, ENDING, day)[0][0] == day + timedelta(days=days)


def test_a_correction_that_has_just_been_posted_is_not_dated_after_today(publishers, run, seen):
    day = seen - timedelta(days=1)
    days = [other for other in RELEASES if f"{other:%Y-%m}" != f"{day:%Y-%m}"]
    corrected = small.release(day, f"https://{small.path(day, 'v2')}")
    publishers.answers[CATALOGUE] = small.catalogue([*map(small.release, days), corrected])
    publishers.answers[small.path(day, "v2")] = small.report(day)
    _, rows = run("wasde")
    assert vintages(rows, ENDING, day)[0][0] == seen


def test_of_two_files_of_a_corrected_release_the_later_version_counts_and_a_second_run_changes_nothing(publishers, run):
    day = RELEASES[-2]
    files = [f"https://{small.path(day, suffix)}" for suffix in ("", "v2")]
    text = f"On {day + timedelta(days=1):%B %d, %Y}, the report was reposted"
    others = [small.release(other) for other in RELEASES if other != day]
    publishers.answers[CATALOGUE] = small.catalogue([*others, small.release(day, *files, description=text)])
    publishers.answers[small.path(day, "v2")] = small.report(day, {ENDING: 4321})
    _, rows = run("wasde")
    assert vintages(rows, ENDING, day) == [(day + timedelta(days=1), 4321, "publisher")]
    assert run("wasde")[0].state == "unchanged"


def test_a_newest_release_without_a_file_in_xml_is_said(publishers, run):
    run("wasde")
    listed = [small.release(day) for day in RELEASES[:-1]]
    publishers.answers[CATALOGUE] = small.catalogue(
        [*listed, small.release(RELEASES[-1]) | {"files": ["https://x/wasde.pdf"]}]
    )
    outcome, _ = run("wasde")
    assert (outcome.state, outcome.n_new) == ("partial", 0)
    assert f"report of {RELEASES[-1]}: the list of releases has no XML file of it" in outcome.reason


def test_a_list_whose_oldest_release_is_first_has_the_new_report_too(publishers, run):
    def oldest_first(days):
        rows = [small.release(day) for day in days]

        def respond(query):
            page = int(query["page"])
            return json.dumps({"pager": {"total_pages": -(-len(rows) // 5)}, "results": rows[5 * page :][:5]})

        return respond

    publishers.answers[CATALOGUE] = oldest_first(RELEASES[:-1])
    run("wasde")
    publishers.answers[CATALOGUE] = oldest_first(RELEASES)
    outcome, _ = run("wasde")
    assert (outcome.state, outcome.n_new) == ("landed", 8)


def test_an_announced_release_without_files_is_no_failure(publishers, run):
    coming = small.release(small.TODAY + timedelta(days=10)) | {"files": None}
    publishers.answers[CATALOGUE] = small.catalogue([*map(small.release, RELEASES), coming])
    assert run("wasde")[0].state == "landed"


def test_a_report_that_was_unreachable_in_the_first_load_is_read_by_the_next_run(publishers, run, monkeypatch):
    monkeypatch.setattr(wasde, "FIRST_REPORT", RELEASES[0])
    day = RELEASES[6]
    report, publishers.answers[small.path(day)] = publishers.answers[small.path(day)], Answer("", 503)
    publishers.answers[CATALOGUE] = small.catalogue(map(small.release, RELEASES), page_rows=5)
    assert run("wasde")[0].state == "partial"
    publishers.answers[small.path(day)] = report
    outcome, rows = run("wasde")
    assert (outcome.state, outcome.n_rows) == ("landed", 8 * len(RELEASES))
    assert vintages(rows, ENDING, day)[0][0] == day


def test_copies_of_a_report_are_one_observation(publishers, run):
    # as of December 2018, listed again three days later, and of November 2019, listed three times, two of them gone
    late, thrice = RELEASES[2], RELEASES[3]
    gone = [f"https://{small.FILES}/{number}/latest.xml" for number in (1, 2)]
    other = f"https://{small.FILES}/3/latest.xml"
    copies = [
        small.release(late + timedelta(days=3), f"https://{small.path(late, '-copy')}"),
        small.release(thrice, gone[0]),
        small.release(thrice, gone[1], other),
    ]
    publishers.answers[CATALOGUE] = small.catalogue([*map(small.release, RELEASES), *copies])
    publishers.answers[small.path(late, "-copy")] = small.report(late)
    publishers.answers[other.removeprefix("https://")] = small.report(RELEASES[4])
    outcome, rows = run("wasde")
    assert outcome.state == "landed"
    assert sorted(vintages(rows, ENDING)) == RELEASES
    assert vintages(rows, ENDING, late) == [(late, small.wasde_value(ENDING, late), "publisher")]
    assert f"latest.xml is the report of {RELEASES[4]:%B %Y}" in outcome.reason
    assert "404" not in outcome.reason


def test_a_report_whose_only_file_is_the_later_copy_is_available_with_the_copy(publishers, run):
    day = RELEASES[2]
    copy = small.release(day + timedelta(days=3), f"https://{small.path(day, '-copy')}")
    publishers.answers[CATALOGUE] = small.catalogue([*map(small.release, RELEASES), copy])
    publishers.answers[small.path(day, "-copy")] = small.report(day)
    publishers.answers[small.path(day)] = Answer("gone", 404)
    outcome, rows = run("wasde")
    assert outcome.state == "landed"
    assert vintages(rows, ENDING, day)[0][0] == day + timedelta(days=3)


def test_the_first_load_reads_all_pages_of_the_list_and_a_later_one_those_that_are_new(publishers, run):
    publishers.answers[CATALOGUE] = small.catalogue(map(small.release, RELEASES), page_rows=4)
    _, rows = run("wasde")
    assert len(vintages(rows, ENDING)) == len(RELEASES)
    assert publishers.paths().count(CATALOGUE) == 4
    publishers.requests.clear()
    run("wasde")
    assert publishers.paths().count(CATALOGUE) == 1


def test_a_first_load_that_was_interrupted_is_completed(publishers, run):
    for day in RELEASES[:5]:
        publishers.answers[small.path(day)] = Answer("overloaded", 503)
    outcome, rows = run("wasde")
    assert outcome.state == "partial"
    assert f"report of {RELEASES[4]}: esmis.nal.usda.gov answered 503" in outcome.reason
    assert sorted(vintages(rows, ENDING)) == RELEASES[5:]
    publishers.answers = small.wasde()
    outcome, rows = run("wasde")
    assert (outcome.state, outcome.n_new) == ("landed", 8 * 5)
    assert {available for (available, _, _), *_ in vintages(rows, ENDING).values()} == set(RELEASES)


def test_an_archive_that_sends_no_report_is_given_up_after_two(publishers, run):
    for day in RELEASES:
        publishers.answers[small.path(day)] = Answer("overloaded", 503)
    outcome, rows = run("wasde")
    assert outcome.state == "failed"
    assert rows.empty
    assert f"report of {RELEASES[-1]}, report of {RELEASES[-2]}: esmis.nal.usda.gov answered 503" in outcome.reason
    assert len(publishers.requests) == 1 + 2 * 5


def test_reports_that_all_have_another_format_are_named(publishers, run):
    for day in RELEASES:
        publishers.answers[small.path(day)] = small.report(day, labels={"World Soybean Supply": "Soybeans: Supply"})
    outcome, rows = run("wasde")
    assert outcome.state == "failed"
    assert rows.empty
    assert f"the report of {RELEASES[-1]:%B %Y} has no table 'World Soybean Supply and Use'" in outcome.reason
    assert len(publishers.requests) == 1 + 2


@pytest.mark.parametrize("day", [RELEASES[-2], RELEASES[4]])
def test_one_faulty_report_leaves_the_others_landed_and_is_read_again(publishers, run, day):
    publishers.answers[small.path(day)] = Answer("<html><p>maintenance</p></html>")
    outcome, rows = run("wasde")
    assert outcome.state == "partial"
    assert f"report of {day}: the document is not a WASDE report" in outcome.reason
    assert len(vintages(rows, ENDING)) == len(RELEASES) - 1
    publishers.answers = small.wasde()
    outcome, rows = run("wasde")
    assert outcome.state == "landed"
    assert vintages(rows, ENDING, day)[0][0] == day


def test_a_row_that_older_reports_lack_is_noted_and_one_that_the_newest_lacks_is_a_failure(publishers, run):
    for day in RELEASES[3:6]:
        publishers.answers[small.path(day)] = small.report(day, without=[BIOFUEL])
    outcome, rows = run("wasde")
    assert outcome.state == "landed"
    assert f"{BIOFUEL}: 3 reports from {RELEASES[3]} to {RELEASES[5]} have no such row" in outcome.reason
    assert len(vintages(rows, BIOFUEL)) == len(RELEASES) - 3
    publishers.requests.clear()
    outcome, _ = run("wasde")
    assert (outcome.state, outcome.reason) == ("unchanged", "")
    assert len(publishers.requests) == 3  # the reports without the row are not asked for again
    publishers.answers[small.path(RELEASES[-1])] = small.report(RELEASES[-1], without=[IMPORTS])
    outcome, after = run("wasde")
    assert outcome.state == "partial"
    assert f"{IMPORTS}: the report of {RELEASES[-1]} has no row 'World Soybean Supply and Use / China / Imports'" in (
        outcome.reason
    )
    assert after.equals(rows)


def test_a_series_is_loaded_again_on_request_and_a_whole_history_as_well(publishers, run, seen):
    _, before = run("wasde")
    day = RELEASES[1]
    publishers.answers[small.path(day)] = small.report(day, {ENDING: 4321})
    assert run("wasde")[0].state == "unchanged"  # an old report is not read again
    _, rows = run("wasde", reload=[ENDING])
    assert vintages(rows, ENDING, day) == [(day, 4321, "publisher")]
    assert vintages(rows, ENDING, RELEASES[0]) == vintages(before, ENDING, RELEASES[0])
    publishers.answers[small.path(day)] = small.report(day, {ENDING: 4321, IMPORTS: 50})
    outcome, rows = run("wasde", is_full=True)
    assert (outcome.n_new, outcome.n_revised) == (0, 1)
    assert vintages(rows, IMPORTS, day) == [
        (day, small.wasde_value(IMPORTS, day), "publisher"),
        (seen, 50, "capture"),
    ]


def test_a_history_may_begin_later(publishers, run):
    _, rows = run("wasde", history_from=RELEASES[5])
    assert sorted(vintages(rows, ENDING)) == RELEASES[5:]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer("slow down", 429), "esmis.nal.usda.gov answered 429, after 5 attempts"),
        (Answer("down", 500), "esmis.nal.usda.gov answered 500, after 5 attempts"),
        (Answer("refused", 403), "esmis.nal.usda.gov answered 403. See https://esmis.nal.usda.gov/api-documentation"),
        (Answer('{"results": []}', missing_bytes=3), "after 5 attempts"),
        ("<html>maintenance</html>", "esmis.nal.usda.gov sent a web page instead of JSON data"),
        ("", "esmis.nal.usda.gov sent an empty document"),
        ("[]", "the list of releases cannot be read: TypeError it is no object"),
        ('{"results": [{"files": []}]}', "the list of releases cannot be read: KeyError 'release_datetime'"),
        (
            '{"results": [{"release_datetime": "soon", "files": []}], "pager": {"total_pages": 1}}',
            "the list of releases cannot be read: ValueError",
        ),
        ('{"results": [], "pager": {"total_pages": 1}}', "the list of releases has no report in XML since"),
    ],
)
def test_what_the_archive_sends_instead_of_its_list_is_named_and_leaves_the_file(publishers, run, answer, words):
    _, before = run("wasde")
    publishers.answers[CATALOGUE] = answer
    outcome, after = run("wasde")
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert after.equals(before)


def test_the_real_list_of_releases_is_read(samples):
    editions, n_pages = wasde.parse_releases(json.loads((samples / "esmis_wasde_release_page.json").read_text()))
    assert n_pages == 1
    assert [(f"{own.released_on}", f"{own.available_on}", own.version) for own in editions] == [
        ("2026-06-11", "2026-06-11", 1),
        ("2026-05-12", "2026-05-13", 2),  # posted again on 13 May; reports of 1995 and 1975 have no XML
    ]


def test_the_names_of_a_real_report_are_those_of_the_seed(samples):
    with (samples / "oce-wasde-report-data-2026-09_trimmed.csv").open() as file:
        there = {
            (wasde._plain(row["ReportTitle"]), wasde._plain(row["Unit"]), wasde._plain(row["Attribute"]))
            for row in csv.DictReader(file)
        }
    own = [code.split(" / ") for code in CODES if code.startswith("U.S.")]
    assert len(own) == 6
    for title, unit, names in own:
        rows = {wasde._plain(name) for name in names.split(" or ")}
        assert any(
            table.startswith(wasde._plain(title)) and wasde._plain(unit) == part and row in rows
            for table, part, row in there
        ), names


def test_real_figures_are_those_of_another_copy_of_the_reports(real_landing):
    """Figures of three reports in the archive's XML, against the landing file that other files of them gave."""
    there = pd.read_parquet(real_landing / "series.parquet")
    printed = {
        date(2011, 6, 9): {BIOFUEL: 3500, ENDING: 2158, "WASDE_US_SBO_USE_TOTAL_NEW": 19750},
        date(2012, 6, 12): {
            ENDING: 2135,
            "WASDE_US_SBO_USE_TOTAL_NEW": 19450,
            "WASDE_US_SB_ENDING_STOCKS_NEW": 140,
        },
        date(2013, 11, 8): {BIOFUEL: 5600, "WASDE_US_SB_ENDING_STOCKS_NEW": 170},
    }
    for day, values in printed.items():
        month, found = parse(small.report(day, values))
        assert month == f"{day:%B %Y}"
        own = there[pd.to_datetime(there["obs_date"]) == pd.Timestamp(day)].set_index("series_id")
        assert {name: found[name] for name in values} == own.loc[list(values), "value"].to_dict()
        assert (own.loc[list(values), "available_on"] == own.loc[list(values), "obs_date"]).all()


# ---------------------------------------------------------------- export sales: what lands


def made_up_total(commodity, week, country=None):
    amounts = small.made_up_sales(commodity, week)
    return sum(sum(pair) for code, pair in amounts.items() if country in (None, code))


def test_net_sales_of_all_countries_and_of_china_land_by_week(publishers, run):
    outcome, rows = run("fas")
    assert (outcome.state, outcome.reason) == ("landed", "")
    for name, commodity, country in (
        ("FAS_SB_NET_SALES", SOYBEANS, None),
        ("FAS_SB_NET_SALES_CN", SOYBEANS, CHINA),
        ("FAS_SBO_NET_SALES", OIL, None),
    ):
        found = {day: value for day, [(_, value, _)] in vintages(rows, name).items()}
        assert found == {week: made_up_total(commodity, week, country) for week in THURSDAYS}
    assert 0 in {value for [(_, value, _)] in vintages(rows, "FAS_SB_NET_SALES_CN").values()}
    assert run("fas")[0].state == "unchanged"


def test_without_a_key_the_source_is_skipped(publishers, run, monkeypatch):
    monkeypatch.setenv("FAS_API_KEY", "")
    outcome, _ = run("fas")
    assert (outcome.state, outcome.reason) == (
        "skipped",
        "no access key: set FAS_API_KEY in the environment or in .env",
    )
    assert publishers.requests == []


def test_the_key_is_sent_and_in_nothing_that_is_written(publishers, run, data_dir, capsys):
    publishers.answers[f"{ESR}/commodities"] = Answer(
        json.dumps({"error": {"code": "API_KEY_INVALID", "message": f"The key {KEY} is not valid."}}), 403
    )
    outcome, _ = run("fas")
    assert outcome.state == "failed"
    assert "api.fas.usda.gov answered 403: The key *** is not valid. Check the access key FAS_API_KEY" in outcome.reason
    publishers.answers |= small.fas()
    run("fas")
    assert {query["api_key"] for _, query in publishers.requests} == {KEY}
    written = [file.read_bytes() for file in data_dir.rglob("*") if file.is_file()]
    assert len(written) > 5
    assert KEY.encode() not in b"".join(written)
    assert KEY not in "".join(capsys.readouterr())


def test_marketing_years_are_asked_for_by_their_own_beginning(publishers, run, seen):
    first = date(seen.year - 1, 9, 20)
    _, rows = run("fas", history_from=first)
    # the weeks before may lack sales that an older list has
    assert min(vintages(rows, "FAS_SB_NET_SALES")) == min(week for week in THURSDAYS if week >= first)
    asked = [path for path in publishers.paths() if "exports" in path]
    years = {code: [int(path.rsplit("/", 1)[1]) for path in asked if f"/{code}/" in path] for code in small.TURNS}
    newest = {code: small.marketing_year(code, seen) for code in small.TURNS}
    # in September soybean oil is still in its old year
    assert years == {
        SOYBEANS: list(range(seen.year, newest[SOYBEANS] + 1)),
        OIL: list(range(seen.year - 1, newest[OIL] + 1)),
    }


def test_a_marketing_year_that_has_not_begun_is_an_empty_list_and_no_failure(publishers, run, seen):
    path = small.sales_path(SOYBEANS, small.marketing_year(SOYBEANS, seen))
    publishers.answers[path] = "[]"
    outcome, rows = run("fas")
    assert outcome.state == "landed"
    assert max(vintages(rows, "FAS_SB_NET_SALES")) < date(small.marketing_year(SOYBEANS, seen) - 1, 9, 1)


def test_a_marketing_year_between_others_is_never_taken_for_one_without_sales(publishers, run):
    path = small.sales_path(OIL, small.marketing_year(OIL, THURSDAYS[60]))
    publishers.answers[path] = "[]"
    outcome, rows = run("fas")
    assert outcome.state == "partial"
    assert f"marketing year {path.rsplit('/', 1)[1]}: no sales, although there are some before it" in outcome.reason
    assert rows["series_id"].nunique() == 2
    publishers.answers[path] = Answer("not found", 404)
    assert "answered 404" in run("fas")[0].reason


def test_years_before_the_archive_may_have_no_list_at_all(publishers, run):
    for year in range(1999, THURSDAYS[0].year):
        publishers.answers.pop(small.sales_path(OIL, year), None)
    outcome, rows = run("fas")
    assert outcome.state == "landed"
    assert len(vintages(rows, "FAS_SBO_NET_SALES")) == len(THURSDAYS)


def test_a_commodity_without_any_sales_is_a_failure(publishers, run):
    for path in list(publishers.answers):
        if f"commodityCode/{OIL}/" in path:
            publishers.answers[path] = "[]"
    outcome, rows = run("fas")
    assert outcome.state == "partial"
    assert "FAS_SBO_NET_SALES: commodity 902: no sales in the marketing years" in outcome.reason
    assert rows["series_id"].nunique() == 2


def test_a_later_pull_reads_an_overlap_and_finds_no_revision_where_it_begins(publishers, run):
    run("fas")
    publishers.requests.clear()
    outcome, _ = run("fas")
    assert outcome.state == "unchanged"
    assert 5 <= len(publishers.requests) <= 8  # two lists, and two or three years of each commodity


def test_a_revised_week_is_a_new_row(publishers, run, seen):
    run("fas")
    week = THURSDAYS[-3]
    year = small.marketing_year(OIL, week)
    rows = small.list_sales(OIL, year)
    publishers.answers[small.sales_path(OIL, year)] = json.dumps(
        [row | {"currentMYNetSales": 9999} if week.isoformat() in row["weekEndingDate"] else row for row in rows]
    )
    outcome, landed = run("fas")
    assert (outcome.n_new, outcome.n_revised) == (0, 1)
    first, second = vintages(landed, "FAS_SBO_NET_SALES", week)
    assert first[1] == made_up_total(OIL, week)
    assert second == (seen, 2 * 9999 + 10 + (9999 + 1 if week.toordinal() % 2 else 0), "capture")


# ---------------------------------------------------------------- export sales: the turn of the marketing year


def table(*rows):
    return pd.concat([fas.parse_sales(list(own), SOYBEANS, year) for year, own in rows])


def test_a_week_that_is_in_the_lists_of_two_years_counts_once():
    before, turn = date(2026, 8, 27), date(2026, 9, 3)
    old = [small.sale(SOYBEANS, CHINA, before, 100, 500), small.sale(SOYBEANS, CHINA, turn, 7, 300)]
    new = [small.sale(SOYBEANS, CHINA, turn, 320, 1)]
    found = fas.net_sales(table((2026, old), (2027, new)))
    assert found.to_dict() == {pd.Timestamp(before): 600, pd.Timestamp(turn): 7 + 320 + 1}
    # before the list of the new year has the week, its sales are the next year's in the old list
    assert fas.net_sales(table((2026, old)))[pd.Timestamp(turn)] == 307


def test_the_last_days_of_a_marketing_year_belong_to_the_week_that_ends_on_thursday():
    old = [small.sale(SOYBEANS, CHINA, date(2026, 8, 31), 7)]
    new = [small.sale(SOYBEANS, CHINA, date(2026, 9, 3), 320)]
    assert fas.net_sales(table((2026, old), (2027, new))).to_dict() == {pd.Timestamp("2026-09-03"): 327}


def test_a_country_without_a_row_has_sold_nothing():
    rows = [small.sale(SOYBEANS, CHINA, date(2026, 7, 23), 100), small.sale(SOYBEANS, 1220, date(2026, 7, 30), 5)]
    assert fas.net_sales(table((2026, rows)), CHINA).tolist() == [100, 0]
    assert fas.net_sales(table((2026, rows[::-1]))).tolist() == [100, 5]  # rows need no order


# ---------------------------------------------------------------- export sales: when a week is public


@pytest.mark.parametrize(
    ("week", "public"),
    [
        ("2026-07-23", "Thu 30 Jul 2026"),
        ("2026-01-08", "Thu 15 Jan 2026"),
        ("2026-01-15", "Fri 23 Jan 2026"),  # Martin Luther King Day on Monday
        ("2024-11-21", "Fri 29 Nov 2024"),  # Thanksgiving on the Thursday of the release
        ("2020-06-25", "Thu 02 Jul 2020"),  # the day before a holiday
        ("2024-07-04", "Thu 11 Jul 2024"),  # the week ends on a holiday
        ("2018-12-20", "Thu 31 Jan 2019"),
        ("2019-02-07", "Fri 22 Feb 2019"),
        ("2022-08-18", "Thu 15 Sep 2022"),
        ("2025-10-16", "Mon 01 Dec 2025"),
        ("2026-01-01", "Thu 08 Jan 2026"),
    ],
)
def test_a_week_of_the_history_is_public_on_the_next_thursday_or_when_its_release_was(week, public):
    rule = load_series("fas").loc["FAS_SB_NET_SALES"]
    (found,) = available_by_rule(pd.Series(pd.to_datetime([week])), rule, load_delays("fas"))
    assert f"{found:%a %d %b %Y}" == public


def test_the_first_load_is_dated_by_the_rule(publishers, run):
    _, rows = run("fas")
    rule, delays = load_series("fas").loc["FAS_SB_NET_SALES"], load_delays("fas")
    weeks = pd.Series(pd.to_datetime(THURSDAYS))
    due = available_by_rule(weeks, rule, delays)
    found = vintages(rows, "FAS_SB_NET_SALES")
    assert {day: available for day, [(available, _, _)] in found.items()} == dict(
        zip(weeks.dt.date, due.dt.date, strict=True)
    )
    assert set(rows["available_by"]) == {"rule"}


def pulled_on(series, instant):
    """Set when the series of export sales were pulled last."""
    with Store().locked() as store:
        store.note_pulls("fas", dict.fromkeys(series, instant))


@pytest.mark.parametrize(("days", "is_believed"), [(-1, True), (-30, False), (9, False)])
def test_weeks_that_come_late_in_a_batch_are_available_since_their_release(publishers, run, days, is_believed):
    publishers.answers |= small.fas(THURSDAYS[:-4])
    run("fas")
    now = datetime.now(UTC)
    pulled_on(load_series("fas").index, now - timedelta(days=3))  # lacked the weeks
    stamp = now + timedelta(days=days)
    publishers.answers |= small.fas(released_at=f"{stamp.astimezone(fas.EASTERN):%Y-%m-%dT%H:%M:%S}.67")
    outcome, rows = run("fas")
    assert outcome.n_new == 3 * 4
    public = trade_date(stamp if is_believed else datetime.now(UTC))
    rule = load_series("fas").loc["FAS_SB_NET_SALES"]
    for week in THURSDAYS[-4:]:
        ((available, _, how),) = vintages(rows, "FAS_SB_NET_SALES", week)
        due = available_by_rule(pd.Series(pd.to_datetime([week])), rule).dt.date[0]
        assert (available, how) == ((public, "capture") if due < public else (due, "rule"))


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-10-22T08:30:42.67", datetime(2026, 10, 22, 12, 30, 42, tzinfo=UTC)),
        ("2025-08-14T00:00:00", datetime(2025, 8, 14, 12, 30, tzinfo=UTC)),
        ("2026-01-08T08:30:00", datetime(2026, 1, 8, 13, 30, tzinfo=UTC)),
    ],
)
def test_a_release_date_is_eastern_time(text, instant):
    assert fas._released_at(text) == instant


# ---------------------------------------------------------------- export sales: a changed format


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: {"data": rows}, "are not a list of rows"),
        (lambda rows: [1], "are not a list of rows"),
        (lambda rows: [rows[0] | {"nextMYNetSales": None}], "lack nextMYNetSales"),
        (
            lambda rows: [{name.replace("MYNet", "Net"): value for name, value in rows[0].items()}],
            "lack currentMYNetSales",
        ),
        (lambda rows: [rows[0] | {"weekEndingDate": "07/23/2026"}], "a date or number cannot be read"),
        (lambda rows: [rows[0] | {"currentMYNetSales": "(D)"}], "a date or number cannot be read"),
        (lambda rows: [rows[0] | {"commodityCode": 901}], "have rows of commodity 901 instead of 801"),
        (lambda rows: [rows[0] | {"unitId": 5}], "have rows of unit 5 instead of 1"),
        (lambda rows: [rows[0] | {"outstandingSales": 999}], "are not the commitment, first in the week to 2026-07-23"),
        (
            lambda rows: [rows[0], rows[0] | {"currentMYNetSales": 1}],
            "1 countries have two rows in a week, first 5700 in the week to 2026-07-23",
        ),
    ],
)
def test_a_changed_list_of_sales_is_refused(change, words):
    rows = [small.sale(SOYBEANS, CHINA, date(2026, 7, 23), 100)]
    with pytest.raises(SourceError) as error:
        fas.parse_sales(change(rows), SOYBEANS, 2026)
    assert words in str(error.value)
    assert "export sales of commodity 801 in marketing year 2026" in str(error.value)


def test_equal_rows_that_are_sent_twice_count_once():
    row = small.sale(SOYBEANS, CHINA, date(2026, 7, 23), 100)
    assert fas.net_sales(fas.parse_sales([row, dict(row)], SOYBEANS, 2026)).tolist() == [100]


@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("commodities", '{"commodities": []}', "commodities is not a list of rows with commodityName"),
        (
            "commodities",
            json.dumps([{"commodityCode": code, "commodityName": "Soybean Meal"} for code in (801, 902)]),
            "FAS_SB_NET_SALES, FAS_SB_NET_SALES_CN: commodity 801 is 'Soybean Meal', not 'Soybeans'",
        ),
        (
            "commodities",
            json.dumps([{"commodityCode": 901, "commodityName": "Soybean Oil"}]),
            "FAS_SBO_NET_SALES: commodity 902 is None, not 'Soybean Oil'",
        ),
        ("datareleasedates", "[]", "FAS_SB_NET_SALES, FAS_SB_NET_SALES_CN: no release date of commodity 801"),
        ("datareleasedates", "[{}]", "datareleasedates is not a list of rows with releaseTimeStamp, marketYear"),
        ("datareleasedates", "[801]", "datareleasedates is not a list of rows with releaseTimeStamp, marketYear"),
        ("commodities", Answer("slow down", 429), "api.fas.usda.gov answered 429, after 5 attempts"),
        ("commodities", Answer("down", 500), "api.fas.usda.gov answered 500, after 5 attempts"),
        ("commodities", Answer("[]", missing_bytes=1), "after 5 attempts"),
        ("commodities", "[{", "api.fas.usda.gov sent JSON that is cut or damaged"),
        ("commodities", "<html>maintenance</html>", "api.fas.usda.gov sent a web page instead of JSON data"),
        ("commodities", "", "api.fas.usda.gov sent an empty document"),
    ],
)
def test_what_the_api_sends_instead_of_its_lists_is_named_and_leaves_the_file(publishers, run, path, answer, words):
    _, before = run("fas")
    publishers.answers[f"{ESR}/{path}"] = answer
    outcome, after = run("fas")
    assert outcome.state == "failed"
    assert words in outcome.reason
    assert after.equals(before)


def test_a_release_date_that_cannot_be_read_is_named(publishers, run):
    publishers.answers |= small.fas(released_at="last Thursday")
    outcome, _ = run("fas")
    assert "the release date 'last Thursday' cannot be read" in outcome.reason


def test_real_rows_of_the_api_are_read(samples):
    rows = json.loads((samples / "fas_esr_exports_rows_ASSEMBLED.json").read_text())
    own = fas.parse_sales([row for row in rows if row["commodityCode"] == SOYBEANS], SOYBEANS, 2026)
    assert fas.net_sales(own, CHINA).to_dict() == {pd.Timestamp("2026-07-23"): 25376}
    corn = fas.parse_sales([row for row in rows if row["commodityCode"] == 401], 401, 2024)
    assert fas.net_sales(corn).tolist() == [52762, 3493]
    assert json.loads((samples / "fas_esr_not_started_market_year.json").read_text()) == []


def test_the_clock_of_this_machine_is_checked(publishers, run):
    late = format_datetime(datetime.now(UTC) + timedelta(hours=5), usegmt=True)
    publishers.answers[CATALOGUE] = Answer(small.wasde()[CATALOGUE]({"page": "0"}), headers={"Date": late})
    assert "this machine's clock is 5.0 hours behind esmis.nal.usda.gov's" in run("wasde")[0].reason


def test_a_marketing_year_that_was_never_released_is_left_out(publishers, run):
    path = f"{ESR}/datareleasedates"
    dates = json.loads(publishers.answers[path])
    never = dates[0] | {"marketYear": dates[0]["marketYear"] + 1, "marketYearStart": None, "releaseTimeStamp": None}
    publishers.answers[path] = json.dumps([*dates, never])
    assert run("fas")[0].state == "landed"

"""`zl status` and `dbt source freshness`: when data are due and stale, what is missing, and what to do."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pandas as pd
import pytest
import yaml
from conftest import PROJECT, listing

from zl_forecast import cli
from zl_forecast.errors import LandingError
from zl_forecast.freshness import OWN_FILES, STATES, STEPS, _regular, describe_overdue, read_freshness
from zl_forecast.ingest.publication import business_day_after, business_days
from zl_forecast.ingest.store import RUNS, Store
from zl_forecast.ingest.store import STATES as RUN_STATES
from zl_forecast.landing.plugin import Plugin
from zl_forecast.thresholds import threshold

CHICAGO = ZoneInfo("America/Chicago")
WEEKDAYS = pd.bdate_range("2024-01-02", "2024-03-27")  # Good Friday is 29 March 2024, Easter Monday 1 April


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    monkeypatch.setenv("ZL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.delenv("ZL_LANDING_DIR", raising=False)
    return tmp_path / "data"


def at(text: str) -> datetime:
    """Return an instant of Chicago, for example '2024-03-28 17:00'."""
    return datetime.fromisoformat(text).replace(tzinfo=CHICAGO)


def land_series(data_dir, source="ecb", series=None, name=None):
    """Land series of `source` (or a file of your own, `name`): days by series, each available on its day."""
    rows = [
        {"series_id": series_id, "obs_date": day, "available_on": day, "value": 1.0, "available_by": "rule"}
        for series_id, days in (series or {"ECB_EURUSD": WEEKDAYS}).items()
        for day in pd.DatetimeIndex(days)
    ]
    folder = data_dir / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows).assign(
        obs_date=lambda own: own["obs_date"].dt.date, available_on=lambda own: own["available_on"].dt.date
    )
    frame.to_parquet(folder / (name or f"series_{source}.parquet"))


def land_bars(data_dir, symbols=None, name="bars_daily_yahoo.parquet"):
    rows = [
        {"symbol": symbol, "as_of_date": day.date(), "open": 1.0, "high": 1.0, "low": 1.0, "close": 1.0}
        | {"volume": 1, "contract_id": None}
        for symbol, days in (symbols or {"ZL": WEEKDAYS}).items()
        for day in pd.DatetimeIndex(days)
    ]
    folder = data_dir / "landing"
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(folder / name)


def note_run(source, state, reason="", run_id="1"):
    with Store().locked() as store:
        store.begin_run(run_id, source)
        if state != "running":
            store.end_run(run_id, source, state, reason=reason)


def subject(name, now, source=None):
    (own,) = [
        own for own in read_freshness(now).subjects if own.subject == name and (source is None or own.source == source)
    ]
    return own


def source(name, now):
    (own,) = [own for own in read_freshness(now).sources if own.source == name]
    return own


# ---------- when a value is due, and when it is stale


def test_a_daily_series_is_due_from_its_cut_off_and_stale_three_days_later(data_dir):
    land_series(data_dir)
    own = subject("ECB_EURUSD", at("2024-03-28 16:59"))
    assert (own.state, own.newest_on, own.age_days) == ("fresh", date(2024, 3, 27), 1)
    assert own.due_at == at("2024-03-28 17:00")
    assert own.due_at.utcoffset() == timedelta(0)
    assert threshold("late_release_days") == 3
    assert subject("ECB_EURUSD", at("2024-03-28 17:00")).state == "due"
    assert subject("ECB_EURUSD", at("2024-03-31 17:00")).state == "due"
    assert subject("ECB_EURUSD", at("2024-03-31 17:01")).state == "stale"


def test_the_next_value_follows_the_publishers_holidays(data_dir):
    land_series(data_dir, series={"ECB_EURUSD": pd.bdate_range("2024-01-02", "2024-03-28")})
    assert subject("ECB_EURUSD", at("2024-04-01 12:00")).due_at == at("2024-04-02 17:00")


@pytest.mark.parametrize(
    ("source", "series_id", "days", "due_at"),
    [
        ("fred", "DGS10", pd.bdate_range("2024-06-03", "2024-07-02"), "2024-07-05 17:00"),  # of the 3rd, after the 4th
        ("fred", "DFF", pd.date_range("2024-06-03", "2024-06-28"), "2024-07-01 17:00"),  # of Saturday
        ("fred", "DTWEXBGS", pd.bdate_range("2024-06-03", "2024-06-14"), "2024-06-24 17:00"),
        ("fred", "NFCI", pd.date_range("2024-05-03", "2024-06-14", freq="W-FRI"), "2024-06-26 17:00"),
        ("cftc", "COT_LEG_FUT_007601_OI", pd.date_range("2024-05-07", "2024-06-18", freq="W-TUE"), "2024-06-28 17:00"),
    ],
)
def test_the_publication_rule_says_when_the_next_value_is_due(data_dir, source, series_id, days, due_at):
    land_series(data_dir, source, {series_id: days})
    assert subject(series_id, at("2024-06-20 12:00"), source).due_at == at(due_at)


def test_a_known_late_release_is_due_when_it_was_released(data_dir):
    land_series(data_dir, "cftc", {"COT_LEG_FUT_007601_OI": pd.date_range("2013-08-06", "2013-09-24", freq="W-TUE")})
    assert subject("COT_LEG_FUT_007601_OI", at("2013-10-20 12:00"), "cftc").due_at == at("2013-11-08 17:00")


def test_bars_are_due_at_the_next_session_of_their_exchange(data_dir):
    days = pd.bdate_range("2024-10-01", "2024-11-27")  # Thanksgiving is 28 November
    land_bars(data_dir, {"ZL": days})
    own = subject("ZL", at("2024-11-28 20:00"))
    assert (own.state, own.due_at, own.source) == ("fresh", at("2024-11-29 17:00"), "yahoo")
    assert subject("ZL", at("2024-12-02 18:00")).state == "stale"


def test_bars_of_years_ago_are_due_since_the_session_after_them(data_dir):
    land_bars(data_dir, {"ZL": pd.bdate_range("2015-01-02", "2015-03-13")})
    assert subject("ZL", at("2024-11-28 20:00")).due_at == at("2015-03-16 17:00")


def test_a_series_of_your_own_is_stale_when_features_no_longer_read_it(data_dir):
    land_series(data_dir, series={"VIXCLS": ["2024-02-01"], "MY_SERIES": ["2024-02-01"]}, name="series_mine.parquet")
    assert int(pd.read_csv(PROJECT / "seeds/series.csv", index_col="series_id").at["VIXCLS", "max_age_days"]) == 10
    assert subject("VIXCLS", at("2024-02-08 16:59"), OWN_FILES).state == "fresh"
    assert subject("VIXCLS", at("2024-02-11 17:00"), OWN_FILES).state == "due"
    assert subject("VIXCLS", at("2024-02-11 17:01"), OWN_FILES).state == "stale"
    assert subject("MY_SERIES", at("2024-02-11 17:01")).state == "no_schedule"


def test_events_of_a_source_are_due_a_day_after_they_were_last_read(data_dir, monkeypatch):
    folder = data_dir / "landing"
    folder.mkdir(parents=True)
    header = "event_date,available_on,bucket,kind,title,severity"
    (folder / "policy_events.csv").write_text(f"{header}\n2024-03-01,2024-03-01,tariff,rule,A rule,1\n")
    assert subject("tariff", at("2024-03-11 17:00")).state == "no_schedule"
    table = pd.read_csv(folder / "policy_events.csv")
    (folder / "policy_events.csv").unlink()
    for column in ("event_date", "available_on"):
        table[column] = pd.to_datetime(table[column]).dt.date
    table.astype({"severity": float}).to_parquet(folder / "policy_events_ecb.parquet")
    sources = read_sources_with_events()
    monkeypatch.setattr("zl_forecast.freshness.load_sources", lambda: sources)
    note_run("ecb", "unchanged")
    now = datetime.now(UTC)
    assert subject("tariff", now + timedelta(hours=23), "ecb").state == "fresh"
    assert subject("tariff", now + timedelta(hours=25), "ecb").state == "due"
    assert subject("tariff", now + timedelta(days=5), "ecb").state == "stale"


def read_sources_with_events():
    from dataclasses import replace

    from zl_forecast.ingest.sources import load_sources

    sources = load_sources()
    return sources | {"ecb": replace(sources["ecb"], tables=("policy_events",))}


def test_of_a_revised_value_the_newest_vintage_counts(data_dir):
    rows = {"series_id": "VIXCLS", "obs_date": date(2024, 3, 1), "value": [1.0, 2.0], "available_by": "rule"}
    land_series(data_dir, series={"DFF": ["2024-03-01"]}, name="series_mine.parquet")
    pd.DataFrame(rows | {"available_on": [date(2024, 3, 1), date(2024, 3, 8)]}).to_parquet(
        data_dir / "landing" / "series_more.parquet"
    )
    assert subject("VIXCLS", at("2024-03-12 18:00"), OWN_FILES).available_on == date(2024, 3, 8)
    assert subject("VIXCLS", at("2024-03-12 18:00"), OWN_FILES).state == "fresh"
    assert subject("DFF", at("2024-03-12 18:00"), OWN_FILES).state == "stale"


# ---------- gaps


def test_gaps_are_absent_business_days_of_the_last_year(data_dir):
    days = pd.bdate_range("2023-01-02", "2024-04-05")
    holidays = pd.to_datetime(["2023-12-25", "2023-12-26", "2024-01-01", "2023-05-01", "2024-03-29", "2024-04-01"])
    absent = pd.to_datetime(["2023-02-01", "2023-06-06", "2024-02-29"])  # the first is more than a year ago
    land_series(data_dir, series={"ECB_EURUSD": days.difference(holidays).difference(absent)})
    own = subject("ECB_EURUSD", at("2024-04-05 12:00"))
    assert (own.n_gaps, own.newest_gap_on) == (2, date(2024, 2, 29))


def test_gaps_of_series_with_values_on_weekends_of_weekly_ones_and_of_bars(data_dir):
    every_day, weeks = (
        pd.date_range("2024-01-01", "2024-03-27"),
        pd.date_range("2024-01-02", "2024-03-26", freq="W-TUE"),
    )
    land_series(data_dir, "fred", {"DFF": every_day.delete([5]), "DGS10": WEEKDAYS.delete([3])})
    land_series(data_dir, "cftc", {"COT_LEG_FUT_007601_OI": weeks.delete([4])})
    land_bars(data_dir, {"ZL": WEEKDAYS.difference(pd.to_datetime(["2024-01-15", "2024-02-19", "2024-02-20"]))})
    now = at("2024-03-28 12:00")
    assert (subject("DFF", now, "fred").n_gaps, subject("DFF", now, "fred").newest_gap_on) == (1, date(2024, 1, 6))
    assert subject("DGS10", now, "fred").newest_gap_on == WEEKDAYS[3].date()
    assert subject("COT_LEG_FUT_007601_OI", now, "cftc").newest_gap_on == date(2024, 1, 30)
    assert (subject("ZL", now).n_gaps, subject("ZL", now).newest_gap_on) == (1, date(2024, 2, 20))


def test_a_month_without_a_value_is_one_gap():
    days = pd.DatetimeIndex(["2024-01-01", "2024-02-01", "2024-04-01"])
    assert _regular(days, STEPS["monthly"]).difference(days).tolist() == [pd.Timestamp("2024-03-01")]


def test_business_days_leave_out_good_friday_whatever_the_calendar():
    friday, monday = pd.Timestamp("2024-03-29"), pd.Timestamp("2024-04-01")
    assert friday not in business_days(friday, monday, "us_federal")
    assert business_days(friday, monday, "").tolist() == [monday]
    assert business_day_after(pd.Timestamp("2024-12-24"), "target") == pd.Timestamp("2024-12-27")
    assert business_day_after(pd.Timestamp("2024-12-24"), "") == pd.Timestamp("2024-12-25")


# ---------- what is missing or not used


def test_a_series_that_was_asked_for_and_has_no_value_is_missing(data_dir):
    land_series(data_dir)
    own = source("ecb", at("2024-03-28 12:00"))
    assert (own.state, own.n_overdue, own.n_subjects) == ("missing", 6, 7)
    assert own.reason.startswith("missing: ECB_EURAUD, ECB_EURBRL, ")
    assert own.reason.endswith(" and 2 more")
    assert read_freshness(at("2024-03-28 12:00")).complete_until("ecb", at("2024-03-28 12:00")) is None  # dbt's error


def test_what_another_file_supplies_is_not_used(data_dir):
    land_series(data_dir, series={"ECB_EURUSD": WEEKDAYS}, name="series_mine.parquet")
    own = subject("ECB_EURUSD", at("2024-03-28 12:00"), "ecb")
    assert (own.state, own.reason) == ("not_used", "series_mine.parquet supplies it")


@pytest.mark.parametrize(
    ("run", "state", "reason"),
    [
        (None, "not_used", "never read: zl ingest ecb"),
        ("skipped", "not_used", "no access key"),
        ("failed", "missing", "no value on file"),
    ],
)
def test_a_source_without_a_landing_file(data_dir, run, state, reason):
    land_bars(data_dir)
    if run:
        note_run("ecb", run, "no access key")
    own = subject("ECB_EURUSD", at("2024-03-28 12:00"), "ecb")
    assert (own.state, own.reason) == (state, reason)


@pytest.mark.parametrize(
    ("run", "state"), [(None, "not_used"), ("skipped", "not_used"), ("failed", "missing"), ("unchanged", "not_used")]
)
def test_a_source_of_bars_without_a_landing_file(data_dir, run, state):
    land_bars(data_dir, name="bars_daily.parquet")
    if run:
        note_run("databento", run, "no files")
    assert source("databento", at("2024-03-28 12:00")).state == state


def test_without_bars_of_zl_they_are_missing(data_dir):
    land_series(data_dir)
    own = subject("ZL", at("2024-03-28 12:00"))
    assert (own.state, own.source, own.reason) == ("missing", OWN_FILES, "no file has bars of ZL")
    land_bars(data_dir)
    assert subject("ZL", at("2024-03-28 12:00")).state == "fresh"


def test_the_last_error_and_the_last_good_pull_are_shown(data_dir):
    land_series(data_dir)
    note_run("ecb", "landed", run_id="1")
    note_run("ecb", "partial", "ECB_EURBRL: HTTP 500", run_id="2")
    own = source("ecb", at("2024-03-28 12:00"))
    assert own.last_error == "ECB_EURBRL: HTTP 500"
    assert own.pulled_at is not None
    note_run("ecb", "unchanged", "a note", run_id="3")
    assert source("ecb", at("2024-03-28 12:00")).last_error == ""


def test_a_simulated_market_is_never_old(data_dir):
    land_bars(data_dir)
    assert len(read_freshness().sources) > 0
    (data_dir / "landing" / "SIMULATED.json").write_text("{}")
    assert (read_freshness().data_source, read_freshness().sources) == ("simulated", ())


def test_a_landing_file_that_cannot_be_read_is_named(data_dir, capsys):
    (data_dir / "landing").mkdir(parents=True)
    (data_dir / "landing" / "series_mine.csv").write_text("series_id\n")
    land_bars(data_dir)
    freshness = read_freshness(at("2024-03-28 12:00"))
    (own,) = [own for own in freshness.subjects if own.source == OWN_FILES]
    assert (own.state, own.subject, own.file_name) == ("missing", "series_mine.csv", "series_mine.csv")
    assert "obs_date, available_on, value: missing" in source(OWN_FILES, at("2024-03-28 12:00")).reason
    assert (
        printed(capsys, "--check", code=1).rstrip().endswith("Next: correct series_mine.csv; zl check has all findings")
    )
    assert subject("ZL", at("2024-03-28 12:00")).state == "fresh"


# ---------- the record of runs is read without writing


def test_the_record_is_read_while_an_ingest_runs_and_leaves_nothing_behind(data_dir):
    assert Store().runs().schema == RUNS
    with Store().locked() as store:
        store.begin_run("1", "ecb")
        assert Store().runs()["state"].to_pylist() == ["running"]
    note_run("fred", "landed", run_id="2")
    before = listing(data_dir)
    assert Store().runs()["state"].to_pylist() == ["interrupted", "landed"]
    assert listing(data_dir) == before
    (data_dir / "ingest" / "ingest.sqlite").write_bytes(b"")  # left by a process that was killed at its start
    assert Store().runs().num_rows == 0


# ---------- zl status


def printed(capsys, *options, code=0):
    assert cli.main(["status", *options]) == code
    return capsys.readouterr().out


def today(days_ago):
    return pd.bdate_range(end=pd.Timestamp(date.today() - timedelta(days=days_ago)), periods=30)


def test_status_says_what_is_stale_and_what_to_do(data_dir, capsys):
    land_bars(data_dir, {"ZL": today(20)})
    shown = printed(capsys)
    assert re.search(r"yahoo +stale ", shown)
    assert "stale: ZL" in shown
    assert (
        shown.rstrip()
        .splitlines()[-1]
        .startswith("Next: zl ingest yahoo; if nothing new arrives, the publisher is late.")
    )
    assert "bars_daily_yahoo.parquet" not in shown
    assert "bars_daily_yahoo.parquet" in printed(capsys, "--all")
    printed(capsys, "--check", code=1)


def test_status_of_files_of_your_own_names_the_file_to_write(data_dir, capsys):
    land_bars(data_dir, {"ZL": today(20)}, name="bars_daily.parquet")
    shown = printed(capsys)  # make ingest would skip what the file supplies
    assert "Next: write newer rows to bars_daily.parquet, or remove it there so that make ingest supplies it;" in shown


def test_status_asks_for_a_new_export_of_the_epa(data_dir, capsys):
    land_bars(data_dir, {"ZL": today(0)})
    days = today(200)
    land_series(data_dir, "epa", {"EPA_RIN_D4_CURR": days, "EPA_RIN_D6_CURR": days})
    assert "Next: export the EPA's table again (docs/ingest.md), then zl ingest epa" in printed(capsys)


def test_a_named_folder_without_files_lacks_zl(data_dir, capsys, monkeypatch):
    monkeypatch.setenv("ZL_LANDING_DIR", str(data_dir / "not_mounted"))  # a build refuses it
    assert "missing: ZL" in printed(capsys, "--check", code=1)


def test_a_damaged_record_of_runs_is_named_and_stops_no_build(data_dir, capsys, monkeypatch):
    from zl_forecast.cli import build

    land_bars(data_dir, {"ZL": today(0)})
    (data_dir / "ingest").mkdir(parents=True)
    (data_dir / "ingest" / "ingest.sqlite").write_bytes(b"damaged" * 1000)
    assert cli.main(["status"]) == 1
    assert (
        "ingest.sqlite cannot be read: file is not a database. If it is damaged, delete it" in capsys.readouterr().err
    )
    build._warn_of_old_data()
    assert "The age of the data is not known: " in capsys.readouterr().out
    plugin = Plugin("landing", {})
    assert plugin.load(SimpleNamespace(identifier="ingest_runs")).num_rows == 0


def test_status_names_a_failed_source_first(data_dir, capsys):
    land_bars(data_dir, {"ZL": today(20)})
    note_run("cftc", "failed", "the server answered 500")
    shown = printed(capsys)
    assert "the server answered 500" in shown
    assert shown.rstrip().endswith("Next: correct what failed (last column), then zl ingest cftc")


def test_status_without_landing_files_and_of_fresh_ones(data_dir, capsys):
    assert "holds no landing files" in printed(capsys, "--check")
    assert not data_dir.exists()
    tomorrow = pd.Timestamp(date.today()) + pd.Timedelta(days=1)
    land_bars(data_dir, {"ZL": pd.bdate_range(end=tomorrow, periods=30)})
    assert "Next: nothing to do; everything that is public by schedule has landed." in printed(capsys, "--check")


def test_status_in_json_has_all_states_and_instants_in_utc(data_dir, capsys):
    land_bars(data_dir, {"ZL": WEEKDAYS})
    read = json.loads(printed(capsys, "--json"))
    (zl,) = [row for row in read["subjects"] if row["subject"] == "ZL"]
    assert (zl["state"], zl["newest_on"], zl["due_at"]) == ("stale", "2024-03-27", "2024-03-28T22:00:00Z")
    assert {row["source"] for row in read["sources"]} >= {"yahoo", "fred", "ecb", "cftc"}


# ---------- builds


def test_a_build_names_what_is_stale_and_goes_on(data_dir, capsys, monkeypatch):
    from zl_forecast.cli import build

    land_bars(data_dir, {"ZL": WEEKDAYS})
    monkeypatch.setattr(build, "run_with_progress", lambda arguments, folder: [])
    monkeypatch.setattr(build.build_record, "keep_record", lambda inputs: None)
    assert build.make_forecasts([]) == 0
    said = capsys.readouterr().out
    assert "Stale or missing data: yahoo (stale: ZL, newest 2024-03-27). Details: zl status" in said.splitlines()
    monkeypatch.setattr("zl_forecast.freshness.read_freshness", refuse)
    assert build.make_forecasts([]) == 0  # dbt stops, with the reason
    assert "Stale" not in capsys.readouterr().out


def refuse():
    raise LandingError(file="landing", problem="cannot be listed", remedy="Give this user read access.")


def test_nothing_is_said_if_nothing_is_stale(data_dir):
    land_bars(data_dir)
    assert describe_overdue(read_freshness(at("2024-03-28 12:00"))) == ""


# ---------- dbt source freshness


def test_every_source_has_a_table_whose_limits_are_the_threshold():
    (own,) = yaml.safe_load((PROJECT / "models/staging/landing/_publishers__sources.yml").read_text())["sources"]
    sources = pd.read_csv(PROJECT / "seeds/sources.csv")["source"]
    assert [table["name"] for table in own["tables"]] == [*sources, OWN_FILES]
    assert own["config"]["freshness"]["error_after"] == {"count": threshold("late_release_days"), "period": "day"}


def test_complete_until_gives_dbt_the_states_of_zl_status(data_dir):
    """dbt compares the age of the instant with the limits of the yml: a minute, and late_release_days."""
    land_series(data_dir, "cftc", dict.fromkeys(cot_series(), pd.date_range("2024-01-02", "2024-03-26", freq="W-TUE")))
    land_bars(data_dir)
    seen = set()
    for hours in range(0, 24 * 14, 11):
        now = at("2024-03-27 12:07") + timedelta(hours=hours)
        freshness = read_freshness(now)
        for own in freshness.sources:
            until = freshness.complete_until(own.source, now)
            age = now - until if until else timedelta.max
            state = "error" if age > timedelta(days=3) else "warn" if age > timedelta(minutes=1) else "pass"
            expected = {"missing": "error", "stale": "error", "due": "warn"}.get(own.state, "pass")
            assert state == expected, own
            seen.add(own.state)
    assert seen == {"fresh", "due", "stale", "not_used"}
    assert set(STATES) > seen


def cot_series():
    series = pd.read_csv(PROJECT / "seeds/source_series.csv")
    return series.loc[series["source"] == "cftc", "series_id"]


def test_dbt_source_freshness_and_the_published_record_of_runs(run_dbt, tmp_path, data_dir):
    newest = pd.Timestamp(date.today()) + pd.Timedelta(days=1)
    days = pd.bdate_range(end=newest, periods=30)
    land_bars(data_dir, {"ZL": days})
    land_series(data_dir)
    note_run("yahoo", "landed")
    note_run("fred", "partial", "NFCI: HTTP 500", run_id="2")
    ended = run_dbt(("source", "freshness"), landing=data_dir / "landing", data_dir=data_dir, expect_failure=True)
    results = json.loads((data_dir / "target" / "sources.json").read_text())["results"]
    states = {result["unique_id"].split(".")[-1]: result["status"] for result in results}
    assert {name for name, state in states.items() if state == "error"} == {"fred", "ecb"}  # missing series
    assert {state for name, state in states.items() if name not in ("fred", "ecb")} == {"pass"}
    assert "Could not find" not in ended.stdout
    build = ("build", "--select", "ingest_runs")
    with_runs = run_dbt(build, landing=data_dir / "landing", data_dir=data_dir)
    without = run_dbt(build, landing=data_dir / "landing", data_dir=tmp_path / "empty")
    tables = [read_table(own.warehouse) for own in (with_runs, without)]
    assert tables[0]["source"].to_pylist() == ["yahoo", "fred"]
    assert tables[0]["reason"].to_pylist() == ["", "NFCI: HTTP 500"]
    assert tables[1].num_rows == 0
    assert tables[0].schema == tables[1].schema
    assert str(tables[0].schema.field("started_at").type) == "timestamp[us]"


def read_table(warehouse):
    from conftest import read

    return read(warehouse, "from monitoring.ingest_runs")


def test_the_accepted_states_of_the_published_record_are_those_of_the_store():
    (model,) = yaml.safe_load((PROJECT / "models/marts/monitoring/ingest_runs.yml").read_text())["models"]
    (state,) = [column for column in model["columns"] if column["name"] == "state"]
    assert set(state["data_tests"][0]["accepted_values"]["arguments"]["values"]) == set(RUN_STATES)

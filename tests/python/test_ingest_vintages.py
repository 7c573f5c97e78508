"""Publication rules, and how pulls are merged: no value is available before it was public, and none is lost."""

from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pandas as pd
import pytest

from zl_forecast.ingest import vintages
from zl_forecast.ingest.publication import available_by_rule, trade_date
from zl_forecast.ingest.sources import SourceError, load_delays, load_series
from zl_forecast.ingest.vintages import merge_observations, merge_vintages

DGS10 = load_series("fred").loc["DGS10"]
NFCI = load_series("fred").loc["NFCI"]
COT = load_series("cftc").loc["COT_LEG_FUT_007601_OI"]
SOURCES = ("fred", "ecb", "cftc")


def series(values: dict[str, float]) -> pd.Series:
    return pd.Series(list(values.values()), index=pd.DatetimeIndex(list(values), dtype="datetime64[us]"), dtype=float)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def merge(held, values, *, now, before=None, rule=DGS10, name="DGS10", **more) -> vintages.Merged:
    return merge_observations(
        name, held, series(values), rule, now=utc(now), pulled_before=before and utc(before), **more
    )


def dated(rows: pd.DataFrame) -> list[tuple]:
    return [
        (f"{row.obs_date:%m-%d}", f"{row.available_on:%m-%d}", row.value, row.available_by) for row in rows.itertuples()
    ]


# ---------------------------------------------------------------- publication rules


def by_rule(series_id: str, source: str, *days: str) -> list[str]:
    rule = load_series(source).loc[series_id]
    dates = available_by_rule(pd.Series(pd.to_datetime(list(days))), rule, load_delays(source))
    return dates.dt.strftime("%a %Y-%m-%d").tolist()


def test_a_treasury_yield_is_public_on_the_next_business_day():
    # 2021-07-05 was a federal holiday; the futures traded on 2021-11-11, the Treasury did not publish
    assert by_rule("DGS10", "fred", "2021-06-30", "2021-07-02", "2021-11-10") == [
        "Thu 2021-07-01",
        "Tue 2021-07-06",
        "Fri 2021-11-12",
    ]


def test_the_funds_rate_of_a_weekend_is_public_on_monday():
    assert by_rule("DFF", "fred", "2024-05-10", "2024-05-11", "2024-05-12") == ["Mon 2024-05-13"] * 3


def test_the_dollar_index_of_a_week_is_public_on_the_next_monday():
    assert by_rule("DTWEXBGS", "fred", "2024-05-13", "2024-05-17", "2024-05-24") == [
        "Mon 2024-05-20",
        "Mon 2024-05-20",
        "Tue 2024-05-28",  # the Monday was a holiday
    ]


def test_financial_conditions_are_public_on_wednesday_and_a_day_later_in_weeks_with_a_holiday():
    assert by_rule("NFCI", "fred", "2024-05-17", "2024-05-24") == ["Wed 2024-05-22", "Thu 2024-05-30"]


def test_reference_rates_of_the_euro_are_public_on_the_same_day():
    assert by_rule("ECB_EURBRL", "ecb", "2024-05-02", "2024-05-03") == ["Thu 2024-05-02", "Fri 2024-05-03"]


@pytest.mark.parametrize(
    ("report", "released"),
    [
        ("2024-08-20", "Fri 2024-08-23"),
        ("2024-07-02", "Mon 2024-07-08"),  # Independence Day was a Thursday
        ("2015-06-30", "Mon 2015-07-06"),  # announced by the CFTC: the holiday was observed on Friday
        ("2020-12-21", "Mon 2020-12-28"),  # a report of Monday is never released before Friday
        ("2025-11-10", "Fri 2025-12-12"),  # shutdown, announced by the CFTC
        ("2026-01-20", "Fri 2026-01-23"),  # back to normal, announced by the CFTC
        ("2018-12-24", "Fri 2019-02-01"),  # shutdown, announced by the CFTC
        ("2019-03-05", "Fri 2019-03-08"),  # back to normal
    ],
)
def test_a_commitments_report_is_public_when_it_was_released(report, released):
    assert by_rule("COT_LEG_FUT_007601_OI", "cftc", report) == [released]


def test_known_delays_are_never_earlier_than_the_rule():
    rule, delays = load_series("cftc").iloc[0], load_delays("cftc")
    days = pd.Series(pd.to_datetime(sorted(delays)))
    assert (available_by_rule(days, rule, delays) >= available_by_rule(days, rule)).all()
    assert len(delays) > 30


def test_the_cut_off_is_at_17_00_in_chicago_in_summer_and_winter():
    assert trade_date(utc("2024-07-01T22:00:00")) == date(2024, 7, 1)
    assert trade_date(utc("2024-07-01T22:00:01")) == date(2024, 7, 2)
    assert trade_date(utc("2024-12-02T22:59:59")) == date(2024, 12, 2)
    assert trade_date(utc("2024-12-02T23:00:01")) == date(2024, 12, 3)


def test_the_rules_agree_with_the_dates_of_real_data_or_are_later(real_landing):
    """Rules are later than the real data before holidays, which those dates ignore, in shutdowns, and for the VIX."""
    real = pd.concat([pd.read_parquet(file) for file in real_landing.glob("series*.parquet")])
    for source in SOURCES:
        for series_id, rule in load_series(source).iterrows():
            own = real[real["series_id"] == series_id].drop_duplicates("obs_date")
            days, there = (pd.to_datetime(own[name]).astype("datetime64[us]") for name in ("obs_date", "available_on"))
            lag = (available_by_rule(days, rule, load_delays(source)) - there).dt.days
            assert len(lag) > 600, series_id
            if series_id == "DTWEXBGS":  # there obs_date + 7; released on Monday for the whole week before
                assert (available_by_rule(days, rule).dt.dayofweek <= 1).all()
                continue
            assert (lag >= 0).all(), series_id
            if series_id not in ("VIXCLS", "USEPUINDXD"):  # there the exchange's own close; weekends count there
                assert (lag == 0).mean() > 0.82, series_id


# ---------------------------------------------------------------- pulls with the newest values only

HISTORY = {"2024-05-06": 4.49, "2024-05-07": 4.47, "2024-05-08": 4.48}
LOADED = merge(vintages.empty(), HISTORY, now="2024-05-09T23:00:00").rows
PULLED_BEFORE = "2024-05-09T23:00:00"


def test_the_first_load_uses_the_publication_rule():
    assert dated(LOADED) == [
        ("05-06", "05-07", 4.49, "rule"),
        ("05-07", "05-08", 4.47, "rule"),
        ("05-08", "05-09", 4.48, "rule"),
    ]


def test_the_same_pull_again_adds_nothing():
    again = merge(LOADED, HISTORY, now="2024-05-10T23:00:00", before=PULLED_BEFORE)
    pd.testing.assert_frame_equal(again.rows, LOADED)
    assert (again.n_new, again.n_revised) == (0, 0)


def test_a_revised_value_is_a_new_row_available_from_the_day_of_the_pull():
    revised = merge(LOADED, HISTORY | {"2024-05-07": 4.4}, now="2024-05-13T15:00:00", before=PULLED_BEFORE)
    assert (revised.n_new, revised.n_revised) == (0, 1)
    assert dated(revised.rows)[1:3] == [("05-07", "05-08", 4.47, "rule"), ("05-07", "05-13", 4.4, "capture")]


def test_a_value_revised_after_the_cut_off_is_available_on_the_next_day():
    revised = merge(LOADED, HISTORY | {"2024-05-07": 4.4}, now="2024-05-13T22:30:00", before=PULLED_BEFORE)
    assert dated(revised.rows)[2] == ("05-07", "05-14", 4.4, "capture")


def test_two_revisions_in_one_day_get_two_days():
    once = merge(LOADED, HISTORY | {"2024-05-07": 4.4}, now="2024-05-13T15:00:00", before=PULLED_BEFORE).rows
    twice = merge(once, HISTORY | {"2024-05-07": 4.3}, now="2024-05-13T16:00:00", before="2024-05-13T15:00:00").rows
    assert dated(twice)[2:4] == [("05-07", "05-13", 4.4, "capture"), ("05-07", "05-14", 4.3, "capture")]


def test_a_value_that_returns_to_an_older_one_is_a_revision_as_well():
    once = merge(LOADED, HISTORY | {"2024-05-07": 4.4}, now="2024-05-13T15:00:00", before=PULLED_BEFORE).rows
    back = merge(once, HISTORY, now="2024-05-14T15:00:00", before="2024-05-13T15:00:00").rows
    assert dated(back)[1:4] == [
        ("05-07", "05-08", 4.47, "rule"),
        ("05-07", "05-13", 4.4, "capture"),
        ("05-07", "05-14", 4.47, "capture"),
    ]


@pytest.mark.parametrize("live", ["rule", "capture"])
@pytest.mark.parametrize("seed", range(2))
def test_no_sequence_of_pulls_changes_what_earlier_sessions_saw(live, seed):
    """Rows on file never change, and no pull adds a row that was available before the pull before it."""
    random, rows, before = np.random.default_rng(seed), vintages.empty(), None
    rule = dict(DGS10) | {"revisions": "whole", "live_availability": live}
    days = pd.bdate_range("2024-01-02", periods=60)
    instant = days[12] + pd.Timedelta(hours=20)
    while instant < days[-1]:
        last = (days < instant.normalize()).sum() - random.integers(0, 4)  # some releases are late
        last = max(last, rows["obs_date"].nunique())
        values = {f"{day:%Y-%m-%d}": float(random.choice([1.0, 1.0, 1.0, 1.1])) for day in days[:last]}
        merged = merge(rows, values, now=f"{instant}", before=before, rule=rule)
        assert len(merged.rows.merge(rows, how="inner")) == len(rows)
        assert not merged.rows.duplicated(["obs_date", "available_on"]).any()
        assert merged.rows.groupby("obs_date")["value"].last().to_dict() == series(values).to_dict()
        added = merged.rows.merge(rows, how="left", indicator=True).query("_merge == 'left_only'")
        if before:
            assert (added["available_on"] >= pd.Timestamp(trade_date(utc(before)))).all()
            if live == "capture":
                assert (added["available_on"] >= pd.Timestamp(trade_date(utc(f"{instant}")))).all()
        rows, before = merged.rows, f"{instant}"
        instant += pd.Timedelta(hours=int(random.integers(5, 90)))
    assert len(rows) > 100


def test_a_new_value_on_schedule_keeps_the_day_of_the_rule():
    # read on Tuesday morning, though the value of Friday was public on Monday before the cut-off
    later = merge(LOADED, HISTORY | {"2024-05-10": 4.5}, now="2024-05-14T12:00:00", before="2024-05-10T12:00:00")
    assert dated(later.rows)[-1] == ("05-10", "05-13", 4.5, "rule")


def test_a_new_value_that_an_earlier_pull_should_have_had_is_dated_by_its_capture():
    later = merge(LOADED, HISTORY | {"2024-05-10": 4.5}, now="2024-05-15T12:00:00", before="2024-05-14T12:00:00")
    assert dated(later.rows)[-1] == ("05-10", "05-15", 4.5, "capture")


def test_a_new_value_is_dated_by_its_capture_if_earlier_pulls_are_not_known():
    later = merge(LOADED, HISTORY | {"2024-05-10": 4.5}, now="2024-05-15T12:00:00", before=None)
    assert dated(later.rows)[-1] == ("05-10", "05-15", 4.5, "capture")


REPORTS = {"2025-09-16": 1.0, "2025-09-23": 2.0}


@pytest.mark.parametrize("rule", [DGS10, dict(COT) | {"frequency": "daily"}], ids=["rule", "capture"])
def test_older_history_that_is_loaded_later_is_dated_by_the_rule(rule):
    held = merge(vintages.empty(), HISTORY, now="2024-05-09T23:00:00", rule=rule).rows
    older = {"2024-05-02": 4.4, "2024-05-03": 4.5}
    rows = merge(held, older | HISTORY, now="2024-05-14T12:00:00", before="2024-05-10T12:00:00", rule=rule).rows
    assert set(rows["available_by"]) == {"rule"}
    assert (rows["available_on"] < pd.Timestamp("2024-05-14")).all()


def test_a_gap_that_is_filled_later_is_dated_by_its_capture():
    held = merge(vintages.empty(), {"2024-05-06": 4.49, "2024-05-08": 4.48}, now="2024-05-09T23:00:00").rows
    rows = merge(held, HISTORY, now="2024-05-14T12:00:00", before="2024-05-10T12:00:00").rows
    assert dated(rows)[1] == ("05-07", "05-14", 4.47, "capture")


def test_a_commitments_report_read_later_is_dated_by_its_capture_or_by_the_publishers_server():
    held = merge(vintages.empty(), REPORTS, now="2025-09-27T12:00:00", rule=COT).rows
    values, before = REPORTS | {"2025-09-30": 3.0}, "2025-11-14T12:00:00"
    seen = merge(held, values, now="2025-11-24T12:00:00", before=before, rule=COT).rows
    assert dated(seen)[-1] == ("09-30", "11-24", 3.0, "capture")
    published = utc("2025-11-19T20:31:00")
    by_server = merge(held, values, now="2025-11-24T12:00:00", before=before, rule=COT, published_at=published).rows
    assert dated(by_server)[-1] == ("09-30", "11-19", 3.0, "capture")


def test_a_publication_time_that_cannot_be_true_is_not_used():
    held = merge(vintages.empty(), REPORTS, now="2025-09-27T12:00:00", rule=COT).rows
    values, before = REPORTS | {"2025-09-30": 3.0}, "2025-11-14T12:00:00"
    for impossible in ("2025-10-03T20:00:00", "2025-12-01T00:00:00"):  # before a pull without the value; in the future
        rows = merge(
            held, values, now="2025-11-24T12:00:00", before=before, rule=COT, published_at=utc(impossible)
        ).rows
        assert dated(rows)[-1] == ("09-30", "11-24", 3.0, "capture")


def test_a_report_that_came_on_friday_is_available_on_friday():
    held = merge(vintages.empty(), REPORTS, now="2025-09-27T12:00:00", rule=COT).rows
    values = REPORTS | {"2025-09-30": 3.0}
    read_on_friday = merge(held, values, now="2025-10-03T21:00:00", before="2025-10-02T21:00:00", rule=COT).rows
    assert dated(read_on_friday)[-1] == ("09-30", "10-03", 3.0, "rule")


def test_values_in_any_order_and_repeated_ones_are_the_same_pull():
    shuffled = series(HISTORY).iloc[[2, 0, 1, 0]]
    merged = merge_observations(
        "DGS10", vintages.empty(), shuffled, DGS10, now=utc("2024-05-09T23:00:00"), pulled_before=None
    )
    pd.testing.assert_frame_equal(merged.rows, LOADED)


def test_missing_values_are_no_observations():
    merged = merge(LOADED, HISTORY | {"2024-05-09": np.nan}, now="2024-05-13T15:00:00", before=PULLED_BEFORE)
    pd.testing.assert_frame_equal(merged.rows, LOADED)


def test_a_value_that_the_publisher_no_longer_has_stays():
    values = dict(list(HISTORY.items())[::2])
    merged = merge(LOADED, values, now="2024-05-13T15:00:00", before=PULLED_BEFORE)
    pd.testing.assert_frame_equal(merged.rows, LOADED)
    assert merged.n_kept == 1


# ---------------------------------------------------------------- pulls that are refused

LONG = {f"{day:%Y-%m-%d}": 4 + 0.01 * n for n, day in enumerate(pd.bdate_range("2024-01-02", periods=80))}
LONG_LOADED = merge(vintages.empty(), LONG, now="2024-05-01T12:00:00").rows


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (dict(list(LONG.items())[:-1]), "ends on 2024-04-19, before the newest value on file (2024-04-22)"),
        (
            dict(list(LONG.items())[:2] + list(LONG.items())[20:]),
            "lacks 18 of 80 observations on file, first 2024-01-04",
        ),
        ({day: value * 100 for day, value in LONG.items()}, "80 of 80 values on file have changed"),
        (dict(list(LONG.items())[::5]), "observations are 7 days apart, but the series is daily"),
        ({}, "sent no values"),
        (dict.fromkeys(LONG, np.nan), "sent no values"),
    ],
)
def test_a_pull_that_looks_faulty_is_refused(values, words):
    with pytest.raises(SourceError) as error:
        merge(LONG_LOADED, values, now="2024-05-02T12:00:00", before="2024-05-01T12:00:00")
    assert words in str(error.value)
    assert "DGS10" in str(error.value)


def test_two_values_of_one_day_are_refused():
    values = series(HISTORY)
    twice = pd.concat([values, values.iloc[:1] + 1])
    with pytest.raises(SourceError, match="two different values for 1 of its dates, first 2024-05-06"):
        merge_observations("DGS10", LOADED, twice, DGS10, now=utc("2024-05-13T15:00:00"), pulled_before=None)


def test_the_whole_history_of_a_series_that_is_estimated_again_may_change():
    weeks = pd.date_range("2024-01-05", periods=30, freq="W-FRI")
    first = {f"{day:%Y-%m-%d}": -0.5 for day in weeks}
    held = merge(vintages.empty(), first, now="2024-08-01T12:00:00", rule=NFCI, name="NFCI").rows
    second = merge(
        held,
        dict.fromkeys(first, -0.4),
        now="2024-08-08T12:00:00",
        before="2024-08-01T12:00:00",
        rule=NFCI,
        name="NFCI",
    )
    assert second.n_revised == 30
    assert (second.rows.loc[second.rows["value"] == -0.4, "available_on"] == pd.Timestamp("2024-08-08")).all()


# ---------------------------------------------------------------- pulls with the publisher's vintages


def published(*rows: tuple[str, str, float, str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["obs_date", "available_on", "value", "available_by"])
    for name in ("obs_date", "available_on"):
        frame[name] = pd.to_datetime(frame[name]).astype("datetime64[us]")
    return frame


FIRST = ("2024-01-05", "2024-01-10", -0.50, "publisher")
REVISED = ("2024-01-05", "2024-01-17", -0.48, "publisher")
SECOND = ("2024-01-12", "2024-01-17", -0.45, "publisher")


def test_vintages_of_the_publisher_replace_estimated_ones():
    estimated = merge(
        vintages.empty(), {"2024-01-05": -0.48, "2024-01-12": -0.45}, now="2024-01-18T12:00:00", rule=NFCI, name="NFCI"
    ).rows
    merged = merge_vintages("NFCI", estimated, published(FIRST, REVISED, SECOND), NFCI)
    assert dated(merged.rows) == [
        ("01-05", "01-10", -0.50, "publisher"),
        ("01-05", "01-17", -0.48, "publisher"),
        ("01-12", "01-17", -0.45, "publisher"),
    ]


def test_the_edge_of_a_window_is_no_vintage_and_the_same_vintages_again_add_nothing():
    held = merge_vintages("NFCI", vintages.empty(), published(FIRST, REVISED, SECOND), NFCI).rows
    window = published(
        ("2024-01-05", "2024-01-18", -0.48, "publisher"), ("2024-01-12", "2024-01-18", -0.45, "publisher")
    )
    merged = merge_vintages("NFCI", held, window, NFCI)
    pd.testing.assert_frame_equal(merged.rows, held)
    assert (merged.n_new, merged.n_revised) == (0, 0)


def test_a_later_window_adds_new_and_revised_values():
    held = merge_vintages("NFCI", vintages.empty(), published(FIRST, REVISED, SECOND), NFCI).rows
    third = ("2024-01-19", "2024-01-24", -0.40, "publisher")
    window = published(
        ("2024-01-05", "2024-01-18", -0.48, "publisher"), (*SECOND[:1], "2024-01-24", -0.44, "publisher"), third
    )
    merged = merge_vintages("NFCI", held, window, NFCI)
    assert (merged.n_new, merged.n_revised) == (1, 1)
    assert dated(merged.rows)[3:] == [("01-12", "01-24", -0.44, "publisher"), ("01-19", "01-24", -0.40, "publisher")]


def test_a_vintage_that_changed_during_its_day_is_dated_a_day_later():
    held = merge_vintages("NFCI", vintages.empty(), published(FIRST), NFCI).rows
    merged = merge_vintages("NFCI", held, published((*FIRST[:2], -0.49, "publisher")), NFCI)
    assert dated(merged.rows) == [("01-05", "01-10", -0.50, "publisher"), ("01-05", "01-11", -0.49, "publisher")]


# ---------------------------------------------------------------- what a session sees


def test_a_session_sees_the_value_that_was_public_at_its_cut_off(pytestconfig):
    """The as-of join of int_series__asof, on rows of two pulls of which the second revises the newest value."""
    once = merge(LOADED, HISTORY | {"2024-05-08": 4.6}, now="2024-05-13T15:00:00", before=PULLED_BEFORE).rows
    rows = merge(
        once, HISTORY | {"2024-05-08": 4.6, "2024-05-10": 4.5}, now="2024-05-14T23:30:00", before="2024-05-14T14:00:00"
    ).rows
    sql = (pytestconfig.rootpath / "models/intermediate/int_series__asof.sql").read_text()
    for ref, table in (
        ("stg_landing__series", "series"),
        ("series", "registry"),
        ("int_calendar__sessions", "sessions"),
    ):
        sql = sql.replace("{{ ref('" + ref + "') }}", f"landed.{table}")
    sql = sql.replace("{%- set lag_sessions = var('non_cbot_lag_sessions') %}", "").replace("{{ lag_sessions }}", "0")
    assert "{{" not in sql, "int_series__asof has changed: teach this test its variables"
    with duckdb.connect() as con:
        con.execute("create schema landed")
        con.register("rows", rows)
        con.execute(
            "create table landed.series as select * replace (obs_date::date as obs_date, available_on::date as available_on) from rows"
        )
        con.execute("create table landed.registry as select 'DGS10' as series_id, 10 as max_age_days")
        con.execute(
            "create table landed.sessions as select day::date as session_date, false as is_future "
            "from range(date '2024-05-06', date '2024-05-17', interval 1 day) as days(day) where dayofweek(day) between 1 and 5"
        )
        seen = con.execute(f"select as_of_date, value from ({sql}) order by as_of_date").fetchall()
    assert [(f"{day:%a %d}", value) for day, value in seen] == [
        ("Tue 07", 4.49),
        ("Wed 08", 4.47),
        ("Thu 09", 4.48),
        ("Fri 10", 4.48),  # the revised value of 8 May was read on the 13th
        ("Mon 13", 4.6),
        ("Tue 14", 4.6),  # the value of 10 May was late: read after the cut-off of the 14th
        ("Wed 15", 4.5),
        ("Thu 16", 4.5),
    ]

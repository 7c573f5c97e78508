"""How old the landing files are, compared with when their publishers release new values.

One rule serves `zl status`, `dbt source freshness`, `zl build` and `zl notify`: a subject (a series, or the bars of a
symbol) is due from the cut-off, 17:00 Chicago, at which its next value is public, and stale `late_release_days` later.

- series of a source: the publication rule of seeds/source_series.csv, applied to the observation after the newest one;
- bars and curves: the next session of the symbol's exchange;
- series of your own files: stale when features no longer read them (`max_age_days` of seeds/series.csv);
- events of a source: due a day after they were last read without an error, since none may have happened.

Everything here depends on the clock, and nothing of it is read by a feature. Nothing is written.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import duckdb
import pandas as pd

from zl_forecast.calendar import exchange_sessions
from zl_forecast.errors import LandingError, listed
from zl_forecast.ingest.bars.sessions import instruments
from zl_forecast.ingest.publication import CHICAGO, CUT_OFF_HOUR, available_by_rule, business_day_after, business_days
from zl_forecast.ingest.sources import Source, load_delays, load_series, load_sources
from zl_forecast.ingest.store import Store
from zl_forecast.landing.folder import LandingFolder, data_source_of, landing_path
from zl_forecast.landing.read import read_file
from zl_forecast.landing.tables import TABLES
from zl_forecast.paths import seed
from zl_forecast.thresholds import threshold

STATES = ("missing", "stale", "due", "fresh", "no_schedule", "not_used")  # the worst first
OVERDUE = ("missing", "stale")
OWN_FILES = "own_files"  # all files in the landing folder that ingest did not write
GAP_DAYS = 365  # gaps are counted in the last year
STEPS = {  # from an observation to the next one; daily series are counted in business days or in days
    "weekly": pd.DateOffset(weeks=1),
    "monthly": pd.DateOffset(months=1),
    "quarterly": pd.DateOffset(months=3),
    "yearly": pd.DateOffset(years=1),
}
SUCCEEDED = ("landed", "unchanged")
FAILED = ("failed", "partial", "interrupted")


@dataclass(frozen=True)
class Subject:
    """Freshness of one series, or of the rows of one symbol in one table.

    Attributes
    ----------
    source : str
        A source of seeds/sources.csv, or `OWN_FILES`.
    table_name, subject : str
        Landing table, and series, symbol or bucket; the name of a file that cannot be read.
    state : str
        A member of `STATES`.
    file_name : str or None
        Its landing file.
    newest_on, available_on : date or None
        Date of the newest observation or bar, and available_on of its newest vintage.
    age_days : int or None
        Days since `available_on`, as features count the age of a series.
    n_gaps : int
        Observations or sessions without a value in the last year, by its own calendar, before the newest one.
    newest_gap_on : date or None
        The newest of them.
    due_at : datetime or None
        When the next value is public: UTC, as all instants here. Of a file of your own, `late_release_days` before
        its features are missing.
    reason : str
        Why it is missing or not used; empty otherwise.
    """

    source: str
    table_name: str
    subject: str
    state: str
    file_name: str | None = None
    newest_on: date | None = None
    available_on: date | None = None
    age_days: int | None = None
    n_gaps: int = 0
    newest_gap_on: date | None = None
    due_at: datetime | None = None
    reason: str = ""


@dataclass(frozen=True)
class SourceStatus:
    """Freshness of one source: that of its subjects, the worst first, and of its last run.

    Attributes
    ----------
    source : str
        As in `Subject`.
    state : str
        The worst state of its subjects.
    n_subjects, n_overdue : int
        Subjects on file or expected; how many of them are missing or stale.
    newest_on, available_on : date or None
        The newest over all subjects.
    age_days, n_gaps : int or None
        Of the newest one; sum over all subjects.
    due_at : datetime or None
        The earliest over all subjects.
    pulled_at : datetime or None
        When it was last read without an error.
    last_error : str
        Of the last run; empty if that succeeded.
    reason : str
        Which subjects are overdue, or why the source is not used.
    """

    source: str
    state: str
    n_subjects: int
    n_overdue: int
    newest_on: date | None
    available_on: date | None
    age_days: int | None
    n_gaps: int
    due_at: datetime | None
    pulled_at: datetime | None
    last_error: str
    reason: str


@dataclass(frozen=True)
class Freshness:
    """Freshness of the landing folder.

    Attributes
    ----------
    folder : str
        The landing folder.
    data_source : {"market", "simulated", "none"}
        `none`: there are no landing files, so that builds read the simulated market.
    sources : tuple of SourceStatus
        In the order of seeds/sources.csv, files of your own last.
    subjects : tuple of Subject
        In the order of the sources.
    """

    folder: str
    data_source: str
    sources: tuple[SourceStatus, ...]
    subjects: tuple[Subject, ...]

    def overdue(self) -> list[SourceStatus]:
        """Return the sources with missing or stale subjects.

        Returns
        -------
        list of SourceStatus
        """
        return [own for own in self.sources if own.state in OVERDUE]

    def complete_until(self, source: str, now: datetime) -> datetime | None:
        """Return the instant until which a source lacks nothing, for `dbt source freshness`.

        Parameters
        ----------
        source : str
            As in `Subject`.
        now : datetime
            With a time zone.

        Returns
        -------
        datetime or None
            When the first overdue value was public; `now` if nothing is overdue; None if something is missing.
        """
        own = [subject for subject in self.subjects if subject.source == source]
        if any(subject.state == "missing" for subject in own):
            return None
        return min([now, *(subject.due_at for subject in own if subject.state in ("due", "stale") and subject.due_at)])

    def rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return sources and subjects as rows.

        Returns
        -------
        dict
            `sources` and `subjects`, each a list of dicts with the attributes as keys.
        """
        return {
            name: [asdict(row) for row in rows]
            for name, rows in (("sources", self.sources), ("subjects", self.subjects))
        }


def read_freshness(now: datetime | None = None) -> Freshness:
    """Read the landing files and the record of runs, and compare them with the publishers' schedules.

    Parameters
    ----------
    now : datetime, optional
        With a time zone; the clock if omitted.

    Returns
    -------
    Freshness
        Without sources if there are no landing files, or those of a simulated market.

    Raises
    ------
    LandingError
        The landing folder cannot be listed. A file that cannot be read is a missing subject with its name.
    """
    now = (now or datetime.now(UTC)).astimezone(UTC)
    folder = LandingFolder(landing_path(), data_source_of(landing_path()))
    runs = Store().runs().to_pandas()
    # without files a build simulates a market, but not in place of a folder that the user has named
    is_used = runs.size or os.environ.get("ZL_LANDING_DIR") or any(folder.files(table) for table in TABLES)
    if folder.data_source == "simulated" or not is_used:
        data_source = folder.data_source if folder.data_source == "simulated" else "none"
        return Freshness(str(folder.path), data_source, (), ())
    sources = load_sources()
    subjects = _subjects_on_file(folder, sources, runs, now)
    subjects += _subjects_not_on_file(subjects, sources, runs)
    names = [*sources, OWN_FILES]
    subjects.sort(  # ZL first: without it there is no forecast
        key=lambda own: (
            names.index(own.source),
            STATES.index(own.state),
            own.subject != "ZL",
            own.table_name,
            own.subject,
        )
    )
    found = [_source_status(name, [own for own in subjects if own.source == name], runs) for name in names]
    return Freshness(str(folder.path), "market", tuple(filter(None, found)), tuple(subjects))


def describe_overdue(freshness: Freshness) -> str:
    """Say in one sentence which sources are missing or stale.

    Parameters
    ----------
    freshness : Freshness

    Returns
    -------
    str
        Empty if none is.
    """
    listed = "; ".join(
        f"{own.source} ({own.reason}{f', newest {own.newest_on}' if own.newest_on else ''})"
        for own in freshness.overdue()
    )
    return f"Stale or missing data: {listed}. Details: zl status" if listed else ""


def _subjects_on_file(
    folder: LandingFolder, sources: Mapping[str, Source], runs: pd.DataFrame, now: datetime
) -> list[Subject]:
    files = {f"{table}_{source}.parquet": source for source, own in sources.items() for table in own.tables}
    rules = pd.concat({source: load_series(source) for source in sources})
    found: list[Subject] = []
    with duckdb.connect() as con:
        for table in TABLES:
            for path in folder.files(table):
                source = files.get(path.name, OWN_FILES)
                try:
                    read_file(con, path, TABLES[table])
                except LandingError as error:
                    found.append(Subject(source, table, path.name, "missing", path.name, reason=str(error)))
                    continue
                for subject, rows in _days(con, table, now).groupby("subject", sort=True):
                    if table == "series":
                        due_at, expected = _schedule_of_series(str(subject), source, rows, rules)
                    elif table == "policy_events":
                        due_at, expected = _schedule_of_events(source, runs), None
                    else:
                        due_at, expected = _schedule_of_bars(str(subject), rows, now)
                    found.append(_subject(source, table, str(subject), path.name, rows, due_at, expected, now))
    return found


def _days(con: duckdb.DuckDBPyConnection, table: str, now: datetime) -> pd.DataFrame:
    """Return the days with a value, of the last year and the newest of each subject, with available_on of its newest vintage."""
    contract = TABLES[table]
    day = {"series": "obs_date", "policy_events": "event_date"}.get(table, contract.date)
    available = "available_on" if "available_on" in contract.columns else day
    has_value = f"where {contract.value} is not null" if contract.value else ""
    return con.execute(
        f"""
        from (
            select {contract.subject} as subject, {day} as day, max({available}) as available_on
            from typed {has_value}
            group by all
        )
        qualify day >= $first or day = max(day) over (partition by subject)
        order by subject, available_on, day
        """,
        {"first": (now - timedelta(days=GAP_DAYS)).date()},
    ).df()


def _subject(
    source: str,
    table: str,
    subject: str,
    file_name: str,
    rows: pd.DataFrame,
    due_at: datetime | None,
    expected: pd.DatetimeIndex | None,
    now: datetime,
) -> Subject:
    newest = rows.loc[rows["day"].idxmax()]
    gaps = expected.difference(pd.DatetimeIndex(rows["day"])) if expected is not None else pd.DatetimeIndex([])
    available_on = newest["available_on"].date()
    return Subject(
        source,
        table,
        subject,
        _state(due_at, now),
        file_name,
        newest["day"].date(),
        available_on,
        (now.astimezone(CHICAGO).date() - available_on).days,
        len(gaps),
        gaps.max().date() if len(gaps) else None,
        due_at,
    )


def _state(due_at: datetime | None, now: datetime) -> str:
    if due_at is None:
        return "no_schedule"
    if now < due_at:
        return "fresh"
    return "due" if now - due_at <= timedelta(days=threshold("late_release_days")) else "stale"


def _schedule_of_series(
    series_id: str, source: str, rows: pd.DataFrame, rules: pd.DataFrame
) -> tuple[datetime | None, pd.DatetimeIndex | None]:
    """Return when the next value is public, and the dates of the last year that should have one."""
    if (source, series_id) not in rules.index:
        known = pd.read_csv(seed("series"), index_col="series_id")["max_age_days"]
        if series_id not in known.index:  # no feature reads it
            return None, None
        expires_on = rows.loc[rows["day"].idxmax(), "available_on"] + pd.Timedelta(days=int(known[series_id]))
        return _cut_off(expires_on) - timedelta(days=threshold("late_release_days")), None
    rule, days = rules.loc[(source, series_id)], pd.DatetimeIndex(rows["day"]).sort_values()
    if step := STEPS.get(rule["frequency"]):
        following, expected = days[-1] + step, _regular(days, step)
    elif (days.dayofweek >= 5).any():  # a value for every day
        following, expected = days[-1] + pd.Timedelta(days=1), pd.date_range(days[0], days[-1])
    else:
        following = business_day_after(days[-1], rule["calendar"])
        expected = business_days(days[0], days[-1], rule["calendar"])
    released = available_by_rule(pd.Series([following.as_unit("us")]), rule, load_delays(source)).iloc[0]
    return _cut_off(released), expected


def _regular(days: pd.DatetimeIndex, step: pd.DateOffset) -> pd.DatetimeIndex:
    """Return the days, and one more wherever two of them are more than one and a half steps apart."""
    absent = [
        one + step for one, other in zip(days[:-1], days[1:], strict=True) if other - one > 1.5 * ((one + step) - one)
    ]
    return days.append(pd.DatetimeIndex(absent)) if absent else days


def _schedule_of_events(source: str, runs: pd.DataFrame) -> datetime | None:
    read = runs[(runs["source"] == source) & runs["state"].isin(SUCCEEDED)]
    return read["ended_at"].max().to_pydatetime() + timedelta(days=1) if len(read) else None


def _schedule_of_bars(
    symbol: str, rows: pd.DataFrame, now: datetime
) -> tuple[datetime | None, pd.DatetimeIndex | None]:
    """Return when the next bar is complete, and the sessions of the last year up to the newest bar."""
    if symbol not in instruments().index:  # no feature reads it
        return None, None
    days = pd.DatetimeIndex(rows["day"])
    first = min(days.max().date(), (now - timedelta(days=GAP_DAYS)).date())
    sessions = _sessions(instruments().at[symbol, "calendar"], first, (now + timedelta(days=30)).date())
    return _cut_off(sessions[sessions > days.max()][0]), sessions[(sessions >= days.min()) & (sessions <= days.max())]


@cache
def _sessions(calendar: str, first: date, last: date) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(exchange_sessions([calendar], f"{first}", f"{last}")["session_date"])


def _cut_off(day: pd.Timestamp) -> datetime:
    """Return 17:00 Chicago of a day, in UTC."""
    return datetime.combine(day.date(), time(CUT_OFF_HOUR), CHICAGO).astimezone(UTC)


def _subjects_not_on_file(
    on_file: Iterable[Subject], sources: Mapping[str, Source], runs: pd.DataFrame
) -> list[Subject]:
    """List the series that a source should have, and ZL's bars if no file has them."""
    found: list[Subject] = []
    by_subject = {(own.table_name, own.subject): own for own in on_file}
    present = {own.source for own in on_file}
    for source, own in sources.items():
        newest = runs[runs["source"] == source].tail(1)
        is_skipped = bool(newest["state"].eq("skipped").any())
        was_read = source in present or (len(newest) > 0 and not is_skipped)
        unused = newest["reason"].iloc[0] if is_skipped else "never read: zl ingest " + source
        series: Collection[str] = load_series(source).index if "series" in own.tables else ()
        for series_id in series:
            other = by_subject.get(("series", series_id))
            if other and other.source == source:
                continue
            if other:
                found.append(Subject(source, "series", series_id, "not_used", reason=f"{other.file_name} supplies it"))
            elif was_read:
                found.append(Subject(source, "series", series_id, "missing", reason="no value on file"))
            else:
                found.append(Subject(source, "series", series_id, "not_used", reason=unused))
        if not len(series) and source not in present:
            is_missing = bool(newest["state"].isin(FAILED).any())
            reason = (
                "nothing on file"
                if is_missing
                else unused
                if is_skipped or not len(newest)
                else "other files supply it"
            )
            found.append(Subject(source, own.tables[0], "all", "missing" if is_missing else "not_used", reason=reason))
    if ("bars_daily", "ZL") not in by_subject:
        found.append(Subject(OWN_FILES, "bars_daily", "ZL", "missing", reason="no file has bars of ZL"))
    return found


def _source_status(source: str, own: list[Subject], runs: pd.DataFrame) -> SourceStatus | None:
    if not own:
        return None
    overdue = [subject for subject in own if subject.state in OVERDUE]
    newest = max(own, key=lambda subject: subject.newest_on or date.min)
    of_source = runs[runs["source"] == source]
    read = of_source[of_source["state"].isin(SUCCEEDED)]["ended_at"]
    last = of_source.tail(1)
    state = min((subject.state for subject in own), key=STATES.index)
    if overdue:
        reason = "; ".join(
            f"{name}: {listed([subject.subject for subject in overdue if subject.state == name])}"
            for name in OVERDUE
            if any(subject.state == name for subject in overdue)
        )
        reason = "; ".join([reason, *(subject.reason for subject in overdue if subject.file_name and subject.reason)])
    else:
        reason = "; ".join(dict.fromkeys(subject.reason for subject in own if state == "not_used" and subject.reason))
    return SourceStatus(
        source,
        state,
        len(own),
        len(overdue),
        newest.newest_on,
        newest.available_on,
        newest.age_days,
        sum(subject.n_gaps for subject in own),
        min((subject.due_at for subject in own if subject.due_at), default=None),
        read.max().to_pydatetime() if len(read) else None,
        last["reason"].iloc[0] if len(last) and last["state"].iloc[0] in FAILED else "",
        reason,
    )

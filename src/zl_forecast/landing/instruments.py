"""Checks of each symbol's bars: dates are sessions of its exchange, prices are in its unit and do not jump.

All symbols are checked alike. A fault of ZL stops the build. A fault of another symbol quarantines
that symbol and the buckets of seeds/buckets.csv that read it. Bounds are in seeds/instruments.csv.
"""

from dataclasses import dataclass
from datetime import date
from difflib import get_close_matches

import duckdb
import pandas as pd

from zl_forecast.errors import listed
from zl_forecast.thresholds import threshold

ZL_STALE_DAYS = 10  # days by which ZL's last bar may lie before the newest bar of any other symbol
RANGE_STEP = 1.5  # times the largest step: how far high and low may be from the close (WTI 0.70 on 2020-04-21)
TOLERANCE_TICKS = 10  # a settlement is not a trade, so it may lie outside the day's range
MAX_ODD_DISTANCE = 0.02  # fraction of the price by which a close may lie outside low to high
MAX_OFF_SESSIONS = 2  # weekday bars without a session; more than this and MAX_ODD_SHARE mean another calendar
DENSE_SHARE = 0.95  # fraction of sessions with a bar: 0.93 for the real, 0.99 for all others
MIN_PRESENT_SHARE = 0.5  # fraction of sessions with a bar, from a symbol's first bar on
CONSTANT_SESSIONS = 200  # a contract is never the front for this many sessions
MAX_ROLL_SHARE = 0.6  # fraction of bars with a roll; federal funds rolled by volume have 0.5
MAX_OUTSIDE = 3  # closes outside the plausible range, such as WTI below zero on 2020-04-20
MAX_ODD_SHARE = 0.01  # fraction of a symbol's bars without a session, or with a close outside low to high
BLOCK_DAYS = 28  # four sessions of each weekday
LISTED = 8  # maximum number of names or dates in a message
DATE_REMEDY = (
    "Date each bar by its trade date, the day on which the session that opens at 17:00 Chicago ends: a session that "
    "opens on Sunday evening is Monday's."
)
WEEKDAYS = ("Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays")


@dataclass(frozen=True)
class Finding:
    """One finding of the landing check.

    Attributes
    ----------
    table : str
        Table of the contract.
    severity : {"refused", "quarantined", "warning", "info"}
        `refused` stops the build; `quarantined` leaves out the symbol's buckets; `warning` means that
        rows were left out or that features have less information than expected; `info` is data that no
        feature reads.
    subject : str
        Symbol, series, file or column concerned.
    problem, remedy : str
        What was found, with the number; what to do.
    rows : int or None
        Rows concerned.
    column : str or None
        Column concerned.
    """

    table: str
    severity: str
    subject: str
    problem: str
    remedy: str
    rows: int | None = None
    column: str | None = None


def check_instruments(
    con: duckdb.DuckDBPyConnection, instruments: pd.DataFrame, sessions: pd.DataFrame
) -> list[Finding]:
    """Check the bars in table `landing` per symbol, and delete those on days without a session.

    Parameters
    ----------
    con : DuckDBPyConnection
        With the table `landing` of bars_daily: its columns and _file. Bars on days that are not
        sessions of their exchange are deleted from it.
    instruments : DataFrame
        seeds/instruments.csv.
    sessions : DataFrame
        Columns calendar and session_date: every session of the calendars that instruments names.

    Returns
    -------
    list of Finding
        Faults (`refused` for ZL, `quarantined` for others) first, then warnings.
    """
    con.register("instruments_frame", instruments)
    con.register("sessions_frame", sessions)
    con.execute(
        """
        create or replace temp table bars as
        with rows as (select distinct * exclude (_file) from landing)  -- files may overlap

        select
            rows.*,
            instruments_frame.* exclude (symbol, name),
            dayofweek(as_of_date) in (0, 6) as is_weekend,
            as_of_date between first_session and last_session
                and sessions_frame.session_date is null as is_off_session,
            last_value(contract_id ignore nulls) over before as previous_contract,
            last_value(close ignore nulls) over before as previous_close,
            coalesce(
                is_off_session and close = last_value(close ignore nulls) over before
                and coalesce(volume, 0) in (0, coalesce(last_value(volume ignore nulls) over before, 0)),
                false
            ) as is_repeat  -- some vendors repeat the previous close on holidays
        from rows
        inner join instruments_frame using (symbol)
        inner join (
            select calendar, min(session_date)::date as first_session, max(session_date)::date as last_session
            from sessions_frame group by calendar
        ) using (calendar)
        left join sessions_frame
            on sessions_frame.calendar = instruments_frame.calendar
            and sessions_frame.session_date = rows.as_of_date
        window before as (partition by symbol order by as_of_date rows between unbounded preceding and 1 preceding)
        """
    )
    faults = [*_dates(con), *_units(con), *_jumps(con)]
    misdated = {fault.subject for fault in faults}
    warnings = [finding for finding in _off_sessions(con) if finding.subject not in misdated]
    warnings += [*_ranges(con, faults), *_contracts(con), *_stale(con)]
    con.execute(
        """
        delete from landing using bars
        where bars.symbol = landing.symbol and bars.as_of_date = landing.as_of_date and bars.is_off_session
        """
    )
    con.execute("drop table bars")
    return faults + warnings


def likely_names(table: str, found: dict[str, date], known: set[str]) -> dict[str, str]:
    """Suggest the known name that an unknown name may stand for.

    A known name is suggested only if it is absent, or ends before the unknown one.

    Parameters
    ----------
    table : str
        Table of the contract.
    found : dict of str to date
        Newest date by name.
    known : set of str
        Names in the seed.

    Returns
    -------
    dict of str to str
        Known name by unknown name; unknown names without a suggestion are left out.

    Examples
    --------
    >>> likely_names("bars_daily", {"ZLH24": date(2024, 3, 14), "CL": date(2024, 3, 14)}, {"ZL", "CL"})
    {'ZLH24': 'ZL'}
    """
    unknown = sorted(found.keys() - known)
    wanted = {_normalise_name(name): name for name in known}

    def is_missed(name: str, likely: str) -> bool:
        return likely not in found or found[likely] < found[name]

    same = {name: wanted[_normalise_name(name)] for name in unknown if _normalise_name(name) in wanted}
    likely = {name: known_name for name, known_name in same.items() if is_missed(name, known_name)}
    free = {plain: name for plain, name in wanted.items() if name not in likely.values()}
    for name in [name for name in unknown if name not in likely]:  # for example CL=F, ZLH24, or a typing error
        roots = [
            root for root in free if table != "series" and len(root) > 1 and _normalise_name(name).startswith(root)
        ]
        close = roots or get_close_matches(
            _normalise_name(name), free, n=1, cutoff=0.8 if table == "policy_events" else 0.9
        )
        # names of one publisher's series are similar, so only an absent series is suggested
        if close and is_missed(name, free[max(close, key=len)]) and (table != "series" or free[close[0]] not in found):
            likely[name] = free[max(close, key=len)]
    return likely


def name_findings(table: str, found: dict[str, date], known: set[str], likely: dict[str, str]) -> list[Finding]:
    """Report the names that no feature reads.

    Parameters
    ----------
    table : str
        Table of the contract.
    found : dict of str to date
        Newest date by name.
    known : set of str
        Names in the seed.
    likely : dict of str to str
        From `likely_names`.

    Returns
    -------
    list of Finding
        At most two: unknown names with a suggestion, and the other unknown names.
    """
    what = {"series": "series", "policy_events": "buckets"}.get(table, "symbols")
    findings = []
    if likely:
        guesses = [
            f"{name} (did you mean {meant}{f', which ends on {found[meant]}' if meant in found else ''}?)"
            for name, meant in likely.items()
        ]
        findings.append(
            Finding(
                table,
                "warning",
                what,
                f"{len(likely)} {what} with unknown names: {listed(guesses, LISTED)}",
                "Use the names of the registry (seeds/instruments.csv, seeds/series.csv, seeds/buckets.csv).",
                len(likely),
            )
        )
    others = sorted(found.keys() - known - likely.keys())
    if others:
        findings.append(
            Finding(
                table,
                "warning" if table == "policy_events" else "info",
                what,
                f"{len(others)} {what} that no feature reads: {listed(others, LISTED)}",
                "They are ignored. To use one in a feature, add it to the registry.",
                len(others),
            )
        )
    return findings


def _normalise_name(name: str) -> str:
    return "".join(character for character in name.upper() if character.isalnum())


def _fault(symbol: str, column: str, problem: str, remedy: str, rows: int) -> Finding:
    severity = "refused" if symbol == "ZL" else "quarantined"
    return Finding("bars_daily", severity, symbol, problem, remedy, rows, column)


def _warning(symbol: str, column: str, problem: str, remedy: str, rows: int | None) -> Finding:
    return Finding("bars_daily", "warning", symbol, problem, remedy, rows, column)


def _dates(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols whose bars are dated by another convention than the trade date, or that lack bars; one fault each."""
    faults: dict[str, Finding] = {}
    for fault in (*_odd_days(con), *_missing_weekdays(con), *_missing_sessions(con)):
        faults.setdefault(fault.subject, fault)
    return list(faults.values())


def _odd_days(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols with bars on weekends, or on too many other days without a session."""
    findings = []
    for symbol, calendar, off, bars, weekend, *counts in con.execute(
        f"""
        select symbol, any_value(calendar), count(*) filter (where is_off_session and not is_repeat), count(*),
            count(*) filter (where is_weekend and not is_repeat),
            {", ".join(f"count(*) filter (where isodow(as_of_date) = {day})" for day in range(1, 8))}
        from bars group by symbol order by symbol
        """
    ).fetchall():
        if weekend:
            weekend_counts = " and ".join(f"{counts[day]} {WEEKDAYS[day]}" for day in (5, 6) if counts[day])
            absent_days = [WEEKDAYS[day] for day in range(5) if counts[day] < 0.2 * max(counts)]
            absence = f" and {'none' if not sum(counts[WEEKDAYS.index(day)] for day in absent_days) else 'few'} on {', '.join(absent_days)}"
            problem = f"has bars on {weekend_counts}{absence if absent_days else ''}"
            findings.append(_fault(symbol, "as_of_date", problem, DATE_REMEDY, weekend))
        elif off > max(MAX_OFF_SESSIONS, MAX_ODD_SHARE * bars):
            problem = f"has {off} of {bars} bars on days without a session of {calendar}"
            findings.append(_fault(symbol, "as_of_date", problem, DATE_REMEDY, off))
    return findings


def _missing_weekdays(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols without bars on the sessions of one weekday, as of vendors that date Monday's session on Sunday."""
    return [
        _fault(
            symbol,
            "as_of_date",
            f"has no bar on {n_sessions} sessions on {WEEKDAYS[day - 1]} ({first} to {last}), but has bars on other weekdays",
            DATE_REMEDY,
            n_sessions,
        )
        for symbol, day, first, last, n_sessions in con.execute(
            f"""
        with
        symbol_spans as (
            select symbol, calendar, min(as_of_date) as first_bar,
                -- a vendor that drops Sundays has no bar of the newest session
                least(max(as_of_date) + 7, (select max(as_of_date) from bars)) as last_bar
            from bars where not is_off_session group by symbol, calendar
        ),

        expected_sessions as (
            select symbol_spans.symbol, session_date::date as session_date, (last_bar - session_date::date) // {BLOCK_DAYS} as block,
                isodow(session_date::date) as weekday, bars.as_of_date is not null as is_present
            from symbol_spans
            inner join sessions_frame
                on sessions_frame.calendar = symbol_spans.calendar and session_date::date between first_bar and last_bar
            left join bars
                on bars.symbol = symbol_spans.symbol and bars.as_of_date = session_date::date
        ),

        weekdays as (
            select symbol, block, weekday, count(*) as n, count(*) filter (where is_present) as n_present,
                min(session_date) as first_session, max(session_date) as last_session
            from expected_sessions group by symbol, block, weekday
        ),

        weekday_counts as (
            select *,
                sum(n) over (partition by symbol, block) - n as n_other,
                sum(n_present) over (partition by symbol, block) - n_present as n_other_present
            from weekdays
        ),

        -- in the newest weeks, which decide the forecast, the two newest sessions of a weekday are enough
        newest_sessions as (
            select *, row_number() over (partition by symbol, weekday order by session_date desc) as age
            from expected_sessions
        ),

        newest_weekdays as (
            select symbol, weekday, bool_or(is_present) as is_present, min(session_date) as first_session,
                max(session_date) as last_session
            from newest_sessions where age <= 2 group by symbol, weekday having count(*) = 2
        ),

        missing_weekdays as (
            select symbol, weekday, first_session, last_session, n from weekday_counts
            where n_present = 0 and n >= 3 and n_other_present >= 0.75 * n_other
            union all
            select symbol, any_value(weekday) filter (where not is_present), min(first_session) filter (where not is_present),
                max(last_session) filter (where not is_present), 2
            from newest_weekdays group by symbol
            having count(*) = 5 and count(*) filter (where not is_present) = 1
                and symbol in (  -- thin markets miss two such sessions now and then
                    select symbol from expected_sessions group by symbol having avg(is_present::int) >= {DENSE_SHARE}
                )
        )

        select symbol, mode(weekday), min(first_session), max(last_session), sum(n)::int from missing_weekdays
        group by symbol order by symbol
        """
        ).fetchall()
    ]


def _missing_sessions(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols with bars on few of the sessions from their first bar to their last."""
    return [
        _fault(
            symbol,
            "as_of_date",
            f"has bars on {present} of {sessions} sessions",
            "Bars are daily: add the missing ones.",
            sessions,
        )
        for symbol, present, sessions in con.execute(
            f"""
        with symbol_spans as (
            select symbol, calendar, min(as_of_date) as first_bar, max(as_of_date) as last_bar,
                count(*) filter (where not is_off_session) as n_present
            from bars group by symbol, calendar
        )

        select symbol, any_value(n_present), count(*) as n_sessions from symbol_spans
        inner join sessions_frame
            on sessions_frame.calendar = symbol_spans.calendar and session_date::date between first_bar and last_bar
        group by symbol having any_value(n_present) < {MIN_PRESENT_SHARE} * n_sessions order by symbol
        """
        ).fetchall()
    ]


def _units(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols whose closes are not in their unit.

    For ZL no close may lie outside the plausible range; for others a few may.
    """
    return [
        _fault(
            symbol,
            "close",
            f"closes outside {low:g} to {high:g} {unit} in {rows} bars, first {close:g} on {day}",
            _unit_remedy(symbol, unit),
            rows,
        )
        for symbol, low, high, unit, rows, close, day in con.execute(
            f"""
            select symbol, any_value(min_price), any_value(max_price), any_value(unit), count(*) as n,
                arg_min(close, as_of_date), min(as_of_date)
            from bars where close not between min_price and max_price and not is_off_session
            group by symbol
            having n > case when symbol = 'ZL' then 0 else {MAX_OUTSIDE} end
            order by symbol
            """
        ).fetchall()
    ]


def _unit_remedy(symbol: str, unit: str) -> str:
    if symbol == "ZL":
        return "ZL cannot be negative and is quoted in cents/lb: if these are USD/lb multiply by 100, if USD/t divide by 22.0462."
    return f"{symbol} must be in {unit}: convert the prices (a factor of 100 means dollars instead of cents, or cents instead of dollars)."


def _jumps(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols that move more than their contracts can: a misprint, or a change of unit in the files."""
    return [
        _fault(
            symbol,
            "close",
            f"moves by more than {limit:.0%} between sessions of one contract ({roll_limit:.0%} at a roll) or within a session in {rows} "
            f"{'place' if rows == 1 else 'places'}, first on {day}: {change}",
            "This is a misprint or a change of unit within the file: correct those rows.",
            rows,
        )
        for symbol, limit, roll_limit, rows, day, change in con.execute(
            f"""
            with price_steps as (
                select symbol, as_of_date, max_step, max_roll_step, previous_close, close, open, high, low,
                    -- an unknown contract is not a roll: only a known one that differs from the last known one is
                    case when contract_id <> previous_contract then max_roll_step else max_step end as step_limit
                from bars
                where close > 0 and not is_off_session
            ),

            flagged_steps as (
                select *,
                    case
                        when previous_close > 0 and abs(ln(close / previous_close)) > step_limit
                            then format('{{:g}} to {{:g}}', previous_close, close)
                        when open > 0 and abs(ln(close / open)) > max_step then format('opens at {{:g}} and closes at {{:g}}', open, close)
                        when high > 0 and abs(ln(close / high)) > {RANGE_STEP} * max_step then format('high {{:g}} and close {{:g}}', high, close)
                        when low > 0 and abs(ln(close / low)) > {RANGE_STEP} * max_step then format('low {{:g}} and close {{:g}}', low, close)
                    end as change
                from price_steps
            )

            select symbol, any_value(max_step), any_value(max_roll_step), count(*)::int, min(as_of_date), arg_min(change, as_of_date)
            from flagged_steps where change is not null
            group by symbol order by symbol
            """
        ).fetchall()
    ]


def _off_sessions(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Report bars on days without a session, such as the last close repeated on a holiday."""
    return [
        _warning(
            symbol,
            "as_of_date",
            f"{rows} {'bar' if rows == 1 else 'bars'} on days without a session of {calendar} left out: {listed(list(map(str, days)), LISTED)}",
            "Nothing to do if the exchange was closed; if it traded, the calendar library needs an update.",
            rows,
        )
        for symbol, calendar, rows, days in con.execute(
            """
            select symbol, any_value(calendar), count(*)::int, list(as_of_date order by as_of_date desc)
            from bars where is_off_session group by symbol order by symbol
            """
        ).fetchall()
    ]


def _ranges(con: duckdb.DuckDBPyConnection, faults: list[Finding]) -> list[Finding]:
    """Find closes and opens outside low to high by more than a few ticks.

    Many such bars, or a large distance, are appended to `faults`; the others are returned as warnings.
    """
    warnings = []
    for price in ("close", "open"):
        for symbol, rows, bars, day, low, high, value, distance in con.execute(
            f"""
            with range_distances as (
                select *,
                    case
                        when is_off_session or (low = 0 and high = 0) then 0  -- no trade, and no range
                        else greatest({"low - high, " if price == "close" else ""}{price} - high, low - {price}, 0)
                    end as distance
                from bars
            ),

            flagged_bars as (
                select *, distance > {TOLERANCE_TICKS + 0.5} * tick as is_outside  -- half a tick for rounding
                from range_distances
            )

            select symbol, count(*) filter (where is_outside)::int as n, count(*)::int,
                min(as_of_date) filter (where is_outside), arg_min(low, as_of_date) filter (where is_outside),
                arg_min(high, as_of_date) filter (where is_outside), arg_min({price}, as_of_date) filter (where is_outside),
                max(distance / nullif(abs(close), 0)) filter (where is_outside)
            from flagged_bars group by symbol having n > 0 order by symbol
            """
        ).fetchall():
            problem = (
                f"has {rows} {'bar' if rows == 1 else 'bars'} whose {price} lies outside low to high by more than {TOLERANCE_TICKS} ticks, "
                f"first on {day}: low {low}, high {high}, {price} {value}"
            )
            remedy = "Check that open, high, low and close were not swapped."
            if rows > max(1, MAX_ODD_SHARE * bars) or distance > MAX_ODD_DISTANCE:
                faults.append(_fault(symbol, price, problem, remedy, rows))
            else:
                warnings.append(_warning(symbol, price, problem, remedy, rows))
    return warnings


def _stale(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols that end before the others."""
    return [
        _warning(
            symbol,
            "as_of_date",
            f"ends on {last}, {(newest - last).days} days before the newest bar: its features are missing from then on",
            "Fetch the missing bars, or leave the symbol out.",
            None,
        )
        for symbol, last, newest in con.execute(
            f"""
            select symbol, max(as_of_date) as last_bar, (select max(as_of_date) from bars) as newest
            from bars group by symbol having newest - last_bar > {threshold("max_stale_days")} order by symbol
            """
        ).fetchall()
    ]


def _contracts(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    """Find symbols whose contract is unknown or never changes, so that rolls cannot be detected."""
    suspicious = con.execute(
        f"""
        select symbol, count(distinct contract_id) = 1, count(*)::int as n, count(*) filter (where contract_id <> previous_contract)::int as n_rolls
        from bars where contract_id is not null group by symbol
        having (count(distinct contract_id) = 1 and n > {CONSTANT_SESSIONS}) or n_rolls > {MAX_ROLL_SHARE} * n and n > 20
        order by symbol
        """
    ).fetchall()
    findings = [
        _warning(
            symbol,
            "contract_id",
            f"one contract_id in all {bars} bars: rolls cannot be detected, and the price step between contracts counts as a return"
            if is_constant
            else f"contract_id changes on {rolls} of {bars} bars: each counts as a roll",
            "Write the front contract in contract_id.",
            bars if is_constant else rolls,
        )
        for symbol, is_constant, bars, rolls in suspicious
    ]
    return findings + _unknown_contracts(con)


def _unknown_contracts(con: duckdb.DuckDBPyConnection) -> list[Finding]:
    counts = con.execute(
        """
        select symbol, count(*) filter (where contract_id is null)::int as n_unknown, count(*)::int as n
        from bars group by symbol having n_unknown > 0 order by symbol
        """
    ).fetchall()
    if not counts:
        return []
    whole = [symbol for symbol, unknown, bars in counts if unknown == bars]
    part = [f"{symbol} ({unknown} of {bars} bars)" for symbol, unknown, bars in counts if unknown < bars]
    named = [*whole, *part]
    return [
        _warning(
            ", ".join([*whole, *(symbol for symbol, unknown, bars in counts if unknown < bars)]),
            "contract_id",
            f"no contract_id in bars of {listed(named, LISTED)}: rolls cannot be detected there, and the price "
            "step between contracts counts as a return, which distorts momentum and volatility",
            "Write the front contract in contract_id.",
            sum(unknown for _, unknown, _ in counts),
        )
    ]
